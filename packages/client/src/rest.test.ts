import { waitFor } from '@candlewire/testkit';
import { CandlewireError } from './errors.ts';
import { RestClient } from './rest.ts';
import { candle, EPOCH, ScriptedServer } from './server.suite.ts';

let server: ScriptedServer;

beforeEach(async () => {
  server = await ScriptedServer.start();
});
afterEach(() => server.stop());

/** Answers one request after the other, the last one for ever. */
function answer(...answers: readonly { status?: number; body?: unknown; headers?: Record<string, string> }[]): void {
  let next = 0;
  server.answer = (_req, res) => {
    const { status = 200, body, headers } = answers[Math.min(next++, answers.length - 1)]!;
    res.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  };
}

const error = (code: string, message = code) => ({ error: { code, message } });
const page = (seqs: readonly number[], next_cursor: string | null) => ({
  symbol: 'AAPL',
  interval: '1d',
  epoch: EPOCH,
  seq: 9,
  candles: seqs.map((seq) => candle(seq, seq)),
  next_cursor,
});

test('every call asks for its path', async () => {
  const rest = new RestClient(`${server.url}/under/`, { apiKey: 'k1' });
  const keys: unknown[] = [];
  const bodies: string[] = [];
  server.answer = (req, res, body) => {
    keys.push(req.headers.authorization);
    if (body) bodies.push(body);
    if (req.method === 'DELETE') res.writeHead(204).end();
    else res.end('{"symbols":[]}');
  };
  await rest.candles('aapl', { interval: '5m', limit: 2, start: new Date(0), end: '2025-11-03', cursor: 'c/1' });
  expect(await rest.symbols()).toEqual([]);
  await rest.addSymbol('tsla', { name: 'Tesla' });
  expect(await rest.removeSymbol('TSLA')).toBeUndefined();
  await rest.historical('AAPL', { timeframe: '1Day', limit: 3 });
  await rest.latest('BRK.B');
  await rest.health();
  await rest.ready();
  await rest.status();
  expect(server.requests).toEqual([
    'GET /under/api/candles/AAPL?interval=5m&limit=2&start=1970-01-01T00%3A00%3A00.000Z&end=2025-11-03&cursor=c%2F1',
    'GET /under/api/symbols',
    'POST /under/api/symbols',
    'DELETE /under/api/symbols/TSLA',
    'GET /under/api/symbols/AAPL/historical?timeframe=1Day&limit=3',
    'GET /under/api/symbols/BRK.B/latest',
    'GET /under/health',
    'GET /under/ready',
    'GET /under/api/health',
  ]);
  expect(new Set(keys)).toEqual(new Set(['Bearer k1']));
  expect(bodies).toEqual(['{"symbol":"TSLA","name":"Tesla"}']);
});

test('history goes through all pages, oldest first, asking for the next one when it is needed', async () => {
  answer({ body: page([1, 2], 'c1') }, { body: page([3], null) });
  const seen: unknown[] = [];
  for await (const { symbol, interval, epoch, seq } of new RestClient(server.url).history('AAPL', '1d', {
    pageSize: 2,
  })) {
    seen.push([symbol, interval, epoch, seq, server.requests.length]);
  }
  expect(seen).toEqual([
    ['AAPL', '1d', EPOCH, 1, 1],
    ['AAPL', '1d', EPOCH, 2, 1],
    ['AAPL', '1d', EPOCH, 3, 2],
  ]);
  const start = 'start=1970-01-01T00%3A00%3A00Z';
  expect(server.requests).toEqual([
    `GET /api/candles/AAPL?interval=1d&limit=2&${start}`,
    `GET /api/candles/AAPL?interval=1d&limit=2&${start}&cursor=c1`,
  ]);
});

describe('errors', () => {
  const failure = async (promise: Promise<unknown>) => {
    const err = await promise.then(
      () => null,
      (err: unknown) => err,
    );
    expect(err).toBeInstanceOf(CandlewireError);
    return err as CandlewireError;
  };

  test('say what the server said', async () => {
    answer({ status: 400, body: error('invalid_parameter', 'limit: must be less') });
    expect(await failure(new RestClient(server.url).candles('AAPL', { limit: 5_000 }))).toMatchObject({
      status: 400,
      code: 'invalid_parameter',
      message: 'limit: must be less',
      retryable: false,
    });
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ['HTML of something between', 502, '<html>', { status: 502, code: 'bad_answer', retryable: true }],
    ['no JSON', 200, 'hello', { status: 200, code: 'bad_answer', retryable: false }],
    ['JSON that is no object', 200, 'null', { code: 'bad_answer' }],
  ])('%s is no answer', async (_what, status, body, expected) => {
    answer({ status, body });
    expect(await failure(new RestClient(server.url).symbols())).toMatchObject(expected);
  });

  test('nobody there', async () => {
    expect(await failure(new RestClient('http://127.0.0.1:9').symbols())).toMatchObject({
      status: 0,
      code: 'network',
      retryable: true,
    });
  });

  test('no answer in time', async () => {
    server.answer = () => {};
    expect(await failure(new RestClient(server.url, { timeoutMs: 50 }).symbols())).toMatchObject({
      code: 'timeout',
      retryable: true,
    });
  });

  test('a gateway that is not ready is an answer', async () => {
    answer({ status: 503, body: { status: 'not_ready', checks: {} } });
    expect(await new RestClient(server.url).ready()).toEqual({ status: 'not_ready', checks: {} });
    expect(server.requests).toHaveLength(1);
  });
});

describe('a busy server', () => {
  test.each([429, 503])('%d is asked again, not before it said', async (status) => {
    const busy = { status, body: error('busy'), headers: { 'retry-after': '1' } };
    answer(busy, { body: { symbols: [] } });
    const startedAt = Date.now();
    expect(await new RestClient(server.url).symbols()).toEqual([]);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1_000);
    expect(server.requests).toHaveLength(2);
  });

  test('is not asked for ever', async () => {
    answer({ status: 503, body: error('unavailable') });
    const busy = new RestClient(server.url, { retries: 1 }).symbols();
    await expect(busy).rejects.toMatchObject({ status: 503, code: 'unavailable', retryable: true, retryAfterMs: null });
    expect(server.requests).toHaveLength(2);
  });

  test('that wants to be left alone for long is', async () => {
    answer({ status: 429, body: error('rate_limited'), headers: { 'retry-after': '3600' } });
    const busy = new RestClient(server.url).symbols();
    await expect(busy).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs: 3_600_000 });
    expect(server.requests).toHaveLength(1);
  });
});

describe('an aborted signal', () => {
  const reason = new Error('enough');

  test('ends a call with its reason', async () => {
    server.answer = () => {};
    const abort = new AbortController();
    const call = new RestClient(server.url).symbols({ signal: abort.signal });
    const ended = expect(call).rejects.toBe(reason);
    await waitFor(() => server.requests.length === 1);
    abort.abort(reason);
    await ended;
  });

  test('ends the wait for the next attempt', async () => {
    answer({ status: 503, body: error('unavailable'), headers: { 'retry-after': '20' } });
    const abort = new AbortController();
    const ended = expect(new RestClient(server.url).symbols({ signal: abort.signal })).rejects.toBe(reason);
    await waitFor(() => server.requests.length === 1);
    abort.abort(reason);
    await ended;
  });

  test('lets no call begin', async () => {
    const call = new RestClient(server.url).symbols({ signal: AbortSignal.abort(reason) });
    await expect(call).rejects.toBe(reason);
    expect(server.requests).toEqual([]);
  });
});
