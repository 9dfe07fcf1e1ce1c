// npm run smoke -- http://localhost:8000
// Asks a running system everything that it offers, as a client would, and says what it got. Exit code 1 where something is wrong.
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';

const PATIENCE_MS = 15_000;
const ASK_AGAIN_MS = 500;
/** Registered, looked at and let go again: no source of ours has it, and no history stays of it. */
const SPARE = 'SMOKETEST.X';
const CANDLE_KEYS =
  'timestamp open high low close volume vwap trade_count market_status ATR RSI MA40 MA80 MA160 final revision seq';
const ROW_KEYS = 'timestamp open high low close volume market_status ATR RSI MA40 MA80 MA160';
const LATEST_KEYS = 'symbol price timestamp open high low close volume change change_percent market_status';
const BAR_KEYS =
  'type symbol timestamp open high low close volume timeframe market_status ATR RSI MA40 MA80 MA160 final revision';
const PRICE_KEYS = 'type symbol price change change_percent timestamp volume';

const base = new URL(process.argv[2] ?? 'http://localhost:8000');
const key = process.env.API_KEY;
const results = { passed: 0, failed: 0 };

function expect(condition, what) {
  if (!condition) throw new Error(what);
}

function expectKeys(object, keys, what) {
  expect(Object.keys(object).join(' ') === keys, `${what} has the fields ${Object.keys(object).join(' ')}`);
}

async function check(name, act) {
  try {
    const note = await act();
    results.passed++;
    console.log(`  ok    ${name}${note ? `  (${note})` : ''}`);
    return true;
  } catch (err) {
    results.failed++;
    console.log(`  FAIL  ${name}: ${err.message}`);
    return false;
  }
}

/** One call. `json` is the body that is expected to be JSON. */
async function call(method, path, { body, status = 200 } = {}) {
  const response = await fetch(new URL(path, base), {
    method,
    signal: AbortSignal.timeout(PATIENCE_MS),
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...(key ? { 'x-api-key': key } : {}) },
    ...(body ? { body } : {}),
  });
  const text = await response.text();
  const allowed = Array.isArray(status) ? status : [status];
  expect(allowed.includes(response.status), `${response.status} ${text.slice(0, 200)}`);
  return {
    status: response.status,
    text,
    json: () => JSON.parse(text),
    type: response.headers.get('content-type') ?? '',
  };
}

async function refused(method, path, status, code, body) {
  const answer = await call(method, path, { status, body });
  const { error } = answer.json();
  expect(error.code === code, `error code ${error.code} instead of ${code}`);
  expect(typeof error.message === 'string' && !answer.text.includes('    at '), 'no plain message');
}

/** A WebSocket whose messages can be waited for, in order. */
async function dial(path) {
  const url = new URL(path, base);
  url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
  if (key) url.searchParams.set('api_key', key);
  const socket = new WebSocket(url);
  const inbox = [];
  let wake = () => {};
  const closed = new Promise((resolve) => {
    socket.on('close', (code) => {
      resolve(code);
      wake();
    });
  });
  socket.on('message', (data) => {
    inbox.push(JSON.parse(data.toString()));
    wake();
  });
  await new Promise((resolve, reject) => {
    socket.on('open', resolve);
    socket.on('error', reject);
  });
  return {
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    close: () => socket.close(1000),
    /** The next message that `wanted` accepts; others before it are dropped. */
    async next(what, wanted, patienceMs = PATIENCE_MS) {
      const until = Date.now() + patienceMs;
      for (;;) {
        const at = inbox.findIndex(wanted);
        if (at >= 0) return inbox.splice(0, at + 1).at(-1);
        const left = until - Date.now();
        expect(left > 0, `no ${what} within ${patienceMs / 1000} s`);
        expect(socket.readyState === WebSocket.OPEN, `closed before ${what}`);
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, left);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
  };
}

console.log(`\nCandlewire at ${base.origin}\n\nHTTP`);
let source = null;
await check('GET /health', async () =>
  expect((await call('GET', '/health')).json().status === 'ok', 'status is not ok'),
);
await check('GET /ready', async () => {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const { status, text, json } = await call('GET', '/ready', { status: [200, 503] });
    if (status === 200) return json().status;
    // A server that is late for once is away in one report.
    expect(Date.now() < until, `${status} ${text.slice(0, 200)}`);
    await pause(ASK_AGAIN_MS);
  }
});
await check('GET /api/health', async () => {
  ({ source } = (await call('GET', '/api/health')).json());
  return `${source.kind}, ${source.state}`;
});
await check('GET / is a page', async () => expect((await call('GET', '/')).type.startsWith('text/html'), 'no HTML'));

let symbol = null;
await check('GET /api/symbols', async () => {
  const { symbols } = (await call('GET', '/api/symbols')).json();
  const known = symbols.filter((row) => row.active && row.last_price !== null);
  expect(known.length > 0, 'no symbol has a price yet');
  symbol = known[0].symbol;
  return `${symbols.length} symbols, looking at ${symbol}`;
});

if (symbol !== null) {
  for (const interval of ['1m', '5m', '1h', '1d']) {
    await check(`GET /api/candles/${symbol}?interval=${interval}`, async () => {
      const page = (await call('GET', `/api/candles/${symbol}?interval=${interval}&limit=50`)).json();
      expect(page.symbol === symbol && page.interval === interval && page.seq > 0, 'wrong series');
      expect(page.candles.length > 0, 'no candles');
      for (const candle of page.candles) expectKeys(candle, CANDLE_KEYS, 'a candle');
      const times = page.candles.map((candle) => candle.timestamp);
      expect(times.join() === [...new Set(times)].sort().join(), 'not ascending');
      return `${page.candles.length} candles`;
    });
  }
  await check('  pages join', async () => {
    const first = (await call('GET', `/api/candles/${symbol}?limit=20`)).json();
    if (first.next_cursor === null) return 'only one page';
    const second = (
      await call('GET', `/api/candles/${symbol}?limit=20&cursor=${encodeURIComponent(first.next_cursor)}`)
    ).json();
    expect(second.candles.at(-1).timestamp < first.candles[0].timestamp, 'pages overlap');
  });
  for (const timeframe of ['1Min', '5Min', '1Hour', '1Day']) {
    await check(`GET /api/symbols/${symbol}/historical?timeframe=${timeframe}`, async () => {
      const { data } = (await call('GET', `/api/symbols/${symbol}/historical?timeframe=${timeframe}&limit=20`)).json();
      expect(data.length > 0, 'no rows');
      for (const row of data) expectKeys(row, ROW_KEYS, 'a row');
      expect(/-0[45]:00$/.test(data[0].timestamp), `timestamp ${data[0].timestamp} is not New York's`);
      return `${data.length} rows`;
    });
  }
  await check(`GET /api/symbols/${symbol}/latest`, async () => {
    const latest = (await call('GET', `/api/symbols/${symbol}/latest`)).json();
    expectKeys(latest, LATEST_KEYS, 'the latest candle');
    return `${latest.price} at ${latest.timestamp}`;
  });
}
await check('POST and DELETE /api/symbols', async () => {
  const body = JSON.stringify({ symbol: SPARE.toLowerCase(), name: 'smoke test' });
  const { status, json } = await call('POST', '/api/symbols', { body, status: [200, 201] });
  expect(json().symbol === SPARE && json().active === true, 'not registered');
  await call('DELETE', `/api/symbols/${SPARE}`, { status: 204 });
  const { symbols } = (await call('GET', '/api/symbols')).json();
  expect(symbols.find((row) => row.symbol === SPARE)?.active === false, 'still active');
  return status === 201 ? 'new' : 'known from before';
});
await check('errors are errors', async () => {
  await refused('GET', '/api/candles/NOSUCH.SYMBOL', 404, 'unknown_symbol');
  await refused('GET', '/api/candles/AAPL?interval=2m', 400, 'invalid_parameter');
  await refused('GET', '/api/candles/AAPL?limit=0', 400, 'invalid_parameter');
  await refused('POST', '/api/symbols', 400, 'invalid_parameter', 'no json');
  await refused('GET', '/nothing/here', 404, 'not_found');
});

console.log('\nWebSocket /ws');
const live = source?.state === 'live' && source.kind === 'simulator';
if (symbol !== null) {
  await check('subscribe, prices, unsubscribe, ping', async () => {
    const socket = await dial('/ws');
    socket.send({ type: 'subscribe', id: 7, symbols: [symbol] });
    const subscribed = await socket.next('acknowledgement', ({ type }) => type === 'subscribed');
    expect(subscribed.id === 7 && subscribed.symbols.includes(symbol), 'acknowledged something else');
    const price = await socket.next('price_update', ({ type }) => type === 'price_update');
    expectKeys(price, PRICE_KEYS, 'price_update');
    if (live)
      await socket.next(
        'another price',
        ({ type, timestamp }) => type === 'price_update' && timestamp > price.timestamp,
      );
    socket.send({ type: 'ping', id: 'x' });
    expect((await socket.next('pong', ({ type }) => type === 'pong')).id === 'x', 'pong without its id');
    socket.send({ type: 'unsubscribe', symbols: [symbol] });
    const unsubscribed = await socket.next('acknowledgement', ({ type }) => type === 'unsubscribed');
    expect(unsubscribed.symbols.length === 0, 'still subscribed');
    socket.close();
    expect((await socket.closed) === 1000, 'not closed cleanly');
    return `${price.price}`;
  });
  await check('bad messages are told, the connection stays', async () => {
    const socket = await dial('/ws');
    for (const message of ['no json', { type: 'dance' }, { type: 'subscribe', symbols: ['1-2'] }]) {
      socket.send(message);
      await socket.next('error', ({ type }) => type === 'error');
    }
    socket.send({ type: 'ping' });
    await socket.next('pong', ({ type }) => type === 'pong');
    socket.close();
  });

  console.log('\nWebSocket /ws/candles');
  await check(`/ws/candles/${symbol}`, async () => {
    const socket = await dial(`/ws/candles/${symbol}?timeframe=1Min&limit=20`);
    const historical = await socket.next('historical', ({ type }) => type === 'historical');
    expect(historical.data.length > 0, 'no rows');
    for (const row of historical.data) expectKeys(row, ROW_KEYS, 'a row');
    if (!live) return `${historical.data.length} rows; nothing live to wait for`;
    const bar = await socket.next('bar', ({ type }) => type === 'bar', 90_000);
    expectKeys(bar, BAR_KEYS, 'a bar');
    // It may be older than the rows: what was missed meanwhile is fetched beside the live bars.
    const isRow = historical.data.some(({ timestamp }) => timestamp === bar.timestamp);
    expect(!isRow || bar.revision > 1, 'a bar that was among the rows');
    socket.close();
    return `${historical.data.length} rows, then ${bar.timestamp} revision ${bar.revision}`;
  });
}
await check('/ws/candles refuses what it cannot give', async () => {
  const badSymbol = await dial('/ws/candles/1-2');
  expect((await badSymbol.closed) === 4404, 'a bad symbol is not closed with 4404');
  const badFrame = await dial('/ws/candles/AAPL?timeframe=2Min');
  expect((await badFrame.closed) === 4400, 'a bad timeframe is not closed with 4400');
});

console.log(`\n${results.passed} passed, ${results.failed} failed\n`);
process.exit(results.failed === 0 ? 0 : 1);
