// Follows the candles of one symbol: subscribe first, then load over HTTP, then take what is newer, and load again where a
// number is missing (docs/channels.md).   node examples/redis-consumer.mjs ACME 5m
// REDIS_URL: by default the Redis that `npm start` has brought up. REDIS_PREFIX and API_URL as the services have them.
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';

const [symbol = 'ACME', interval = '5m'] = process.argv.slice(2);
const { REDIS_PREFIX = 'md:v1', API_URL = 'http://127.0.0.1:8000' } = process.env;
const REDIS_URL = process.env.REDIS_URL ?? readFileSync(new URL('../data/redis.url', import.meta.url), 'utf8');

/** The last change that was taken: everything up to `seq` is known. */
let epoch = '';
let seq = 0;

function show({ timestamp, open, high, low, close, volume, RSI, final, revision }) {
  console.log(timestamp, JSON.stringify({ open, high, low, close, volume, RSI, final, revision }));
}

/** Shows what changed since `seq`, as far as it lies in the newest 1,000 candles. */
async function load() {
  const response = await fetch(`${API_URL}/api/candles/${symbol}?interval=${interval}&limit=1000`);
  if (response.status === 404) return; // Nobody has seen the symbol yet: its first message is the beginning.
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  const page = await response.json();
  if (page.epoch !== epoch) seq = 0;
  for (const candle of page.candles) if (candle.seq > seq) show(candle);
  ({ epoch, seq } = page);
}

async function take(message) {
  if (message.epoch === epoch && message.seq <= seq) return; // A repeat.
  if (message.type !== 'candle' || message.epoch !== epoch || message.seq > seq + 1) return load();
  seq = message.seq;
  show(message.candle);
}

// One thing at a time: messages wait while something is loaded.
let work = Promise.resolve();
function then(act) {
  work = work.then(act).catch((err) => console.error(err.message));
}

const redis = new Redis(REDIS_URL);
redis.on('error', (err) => console.error(err.message));
redis.on('message', (_channel, text) => then(() => take(JSON.parse(text))));
// At the start, and whenever the connection comes back: what was published meanwhile is lost.
redis.on('ready', () =>
  then(async () => {
    await redis.subscribe(`${REDIS_PREFIX}:candles:${interval}:${symbol}`);
    await load();
  }),
);
process.once('SIGINT', () => redis.disconnect());
