import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { CandlesResponse, channelsOf, isRefusal, parseBar, parseInstant } from '@candlewire/contracts';
import {
  describeWithRedis,
  freePort,
  type SpawnedService,
  spawnService,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { Redis } from 'ioredis';

const ROOT = join(__dirname, '..');
const REPLAY_FILE = join(ROOT, 'examples/replay/two-days.csv');
const [header, ...lines] = readFileSync(REPLAY_FILE, 'utf8').trim().split('\n');

test('examples/replay/two-days.csv holds nothing but bars', () => {
  const names = header!.split(',');
  expect(names).toEqual(['symbol', 'timestamp', 'open', 'high', 'low', 'close', 'volume', 'trade_count', 'vwap']);
  const refused = lines.filter((line) => {
    const [symbol, timestamp, open, high, low, close, volume, tradeCount, vwap] = line.split(',');
    const [o, h, l, c, v, t, w] = [open, high, low, close, volume, tradeCount, vwap].map(Number);
    const raw = {
      symbol,
      openTime: parseInstant(timestamp!),
      open: o,
      high: h,
      low: l,
      close: c,
      volume: v,
      tradeCount: t,
      vwap: w,
      rev: 0,
    };
    return isRefusal(parseBar(raw, Number.POSITIVE_INFINITY));
  });
  expect(refused).toEqual([]);
  expect(lines.length).toBeGreaterThan(1_000);
});

describeWithRedis('examples', () => {
  const services: SpawnedService[] = [];
  let database: TestDatabase;
  let redis: TestRedis;
  const consumers: Consumer[] = [];
  let origin: string;

  beforeAll(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
  });

  afterAll(async () => {
    for (const consumer of consumers) consumer.stop();
    await Promise.all(services.map((service) => service.stop()));
    await redis.close();
    await database.drop();
  });

  function run(example: string, ...args: string[]): Consumer {
    const env = { REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix, API_URL: origin };
    const consumer = startConsumer(example, args, env);
    consumers.push(consumer);
    return consumer;
  }

  test('redis-consumer.mjs and candle-client.mjs show every candle in the state that HTTP answers', async () => {
    const port = await freePort();
    origin = `http://127.0.0.1:${port}`;
    const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix };
    services.push(spawnService('gateway', { ...env, PORT: String(port) }), spawnService('aggregator', env));
    await services[0]!.up(async () => (await fetch(`${origin}/health`)).ok);

    const consumer = run('redis-consumer.mjs', 'ACME', '5m');
    await subscribed(redis.url, channelsOf(redis.prefix).candles('5m', 'ACME'));
    // Only now: for it the gateway listens to the same channel.
    const client = run('candle-client.mjs', 'ACME', '5m', '1000');
    services.push(spawnService('ingestor', { ...env, SOURCE: 'replay', REPLAY_FILE, REPLAY_SPEED: 'max' }));

    const expected = await finished(`${origin}/api/candles/ACME?interval=5m&limit=1000`);
    for (const { shown } of [consumer, client])
      await waitFor(() => isDeepStrictEqual(shown(), expected), { what: 'all of them are shown' });
  });

  test('redis-consumer.mjs and candle-client.mjs show what was there before they came', async () => {
    const expected = await finished(`${origin}/api/candles/ACME?interval=1h&limit=1000`);
    for (const { shown } of [run('redis-consumer.mjs', 'ACME', '1h'), run('candle-client.mjs', 'ACME', '1h', '1000')])
      await waitFor(() => isDeepStrictEqual(shown(), expected), { what: 'all of them are shown' });
  });

  test('price-client.mjs shows the latest prices', async () => {
    const { price } = (await (await fetch(`${origin}/api/symbols/ACME/latest`)).json()) as { price: number };
    const [named, all] = [run('price-client.mjs', 'ACME'), run('price-client.mjs')];
    for (const { output } of [named, all])
      await waitFor(() => output().includes(` ACME ${price} `), { what: 'the price is shown' });
    await waitFor(() => all.output().includes(' GLBX '), { what: 'the other symbol is shown' });
    expect(named.output()).not.toContain('GLBX');
  });
});

type Shown = Record<string, unknown>;

interface Consumer {
  /** The last that was shown of each candle, by timestamp. */
  shown(): Shown;
  output(): string;
  stop(): void;
}

function startConsumer(example: string, args: readonly string[], env: Record<string, string>): Consumer {
  const child = spawn(process.execPath, [join(ROOT, 'examples', example), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const lines = () => output.slice(0, output.lastIndexOf('\n') + 1).matchAll(/^(\S+) (.*)$/gm);
  return {
    shown: () => Object.fromEntries([...lines()].map(([, timestamp, candle]) => [timestamp, JSON.parse(candle!)])),
    output: () => output,
    stop: () => child.kill('SIGKILL'),
  };
}

async function subscribed(url: string, channel: string): Promise<void> {
  const redis = new Redis(url);
  try {
    await waitFor(async () => Number((await redis.pubsub('NUMSUB', channel))[1]) === 1, {
      what: 'the consumer listens',
    });
  } finally {
    redis.disconnect();
  }
}

/** What the consumer is to show of each candle, once the clock has passed the last of them. */
async function finished(url: string): Promise<Shown> {
  const candles = await waitFor(
    async () => {
      const { candles } = CandlesResponse.parse(await (await fetch(url)).json());
      const isWhole = candles.at(-1)!.timestamp >= '2025-11-04T21:00:00Z';
      return isWhole && candles.every(({ final }) => final) && candles;
    },
    { what: 'all candles are final', timeoutMs: 30_000 },
  );
  return Object.fromEntries(
    candles.map(({ timestamp, open, high, low, close, volume, RSI, final, revision }) => [
      timestamp,
      { open, high, low, close, volume, RSI, final, revision },
    ]),
  );
}
