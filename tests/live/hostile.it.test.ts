import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { randomOf } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type Feeder, startFeeder } from './feeder';
import { type LiveGateway, startGateway } from './fleet';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const SYMBOLS = ['AAPL', 'MSFT'];
const PACE = { bars: 1, everyMs: 20 };
const ATTACKERS = 300;
const ATTACKERS_AT_ONCE = 20;
const MESSAGES_EACH = 30;
const UPGRADES = 300;
/** More than what a gateway takes of one message. */
const PIECES = 20;
/** What is no whole request, or no whole frame, gets no answer: it is given up. */
const GIVE_UP_MS = 500;
const LAST = 'the last message';

const TRACE = /node_modules|\bat [\w.<>]+ \(|\/(services|packages)\/|<html|<!doctype/i;
const TYPES = new Set(
  'authenticated subscribed unsubscribed price_update pong snapshot candle reset skipped left_out heartbeat error shutdown historical bar'.split(
    ' ',
  ),
);
const ERRORS = new Set(
  'invalid_message invalid_parameter unavailable too_many_errors too_many_subscriptions rate_limited unsupported_data payload_too_large too_slow'.split(
    ' ',
  ),
);
const CLOSES = new Set([1000, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 4400, 4404, 4408, 4409, 4429]);
const STATUSES = new Set([400, 403, 404, 405, 429, 431, 503]);

const VALID = [
  { type: 'subscribe', id: 1, symbols: ['AAPL'] },
  { type: 'subscribe', channel: 'candles', symbols: ['AAPL', 'MSFT'], intervals: ['1m', '1h'], snapshot: 3 },
  { type: 'subscribe', channel: 'candles', symbols: ['AAPL'], intervals: ['5m'], since: { epoch: 'x', seq: 3 } },
  { type: 'subscribe', channel: 'candles', symbols: ['*'], snapshot: 1_000 },
  { type: 'unsubscribe', symbols: ['AAPL'] },
  { type: 'ping', id: 'x' },
  { type: 'auth', api_key: 'a key' },
];
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(-1, 1e308, 2 ** 53, 0.5, '', '*', '__proto__', 'constructor', null, [], {}, [[]], 'AAPL\0'),
  fc.constantFrom('x'.repeat(15_000), 'Å'.repeat(5_000), Array(2_000).fill('AAPL'), Array(3_000).fill({})),
);
const field = fc.oneof(
  fc.constantFrom('type', 'id', 'channel', 'symbols', 'intervals', 'snapshot', 'since', 'api_key'),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'),
);
const mutated = fc
  .tuple(fc.constantFrom(...VALID), fc.array(fc.tuple(field, odd), { minLength: 1, maxLength: 3 }))
  .map(([message, changes]) => {
    // Written by hand, since an object would take `__proto__` for its prototype.
    const fields = [...Object.entries(message), ...changes].map(
      ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
    );
    return `{${fields.join(',')}}`;
  });
const nested = fc.integer({ min: 1, max: 7_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth));
const inType = fc
  .integer({ min: 1, max: 5_000 })
  .map((depth) => `{"type":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`.slice(0, 16_000));
const text = fc.oneof(
  { weight: 4, arbitrary: mutated },
  { weight: 3, arbitrary: fc.constantFrom(...VALID.map((message) => JSON.stringify(message))) },
  { weight: 2, arbitrary: fc.jsonValue().map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: fc.oneof(fc.string(), nested, inType, fc.constant('x'.repeat(20_000))) },
);
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));

type Act =
  | { readonly how: 'text'; readonly text: string }
  | { readonly how: 'pieces'; readonly text: string }
  | { readonly how: 'binary'; readonly bytes: Buffer }
  | { readonly how: 'raw'; readonly bytes: Buffer };
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 20, arbitrary: text.map((one) => ({ how: 'text' as const, text: one })) },
  { weight: 2, arbitrary: text.map((one) => ({ how: 'pieces' as const, text: one })) },
  { weight: 1, arbitrary: bytes.map((one) => ({ how: 'binary' as const, bytes: one })) },
  { weight: 1, arbitrary: bytes.map((one) => ({ how: 'raw' as const, bytes: one })) },
);
const path = fc.oneof(
  { weight: 4, arbitrary: fc.constant('/ws') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('/ws/candles/AAPL', '/ws/candles/aapl?timeframe=1Hour&limit=3', '/ws/candles/NEWONE'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...['/ws/candles/', '/ws/candles/%', '/ws/candles/__proto__', '/ws/candles/A%00', '/ws/candles/AAPL?limit=-1'],
      ...[
        '/ws/candles/AAPL?timeframe=__proto__',
        '/ws/candles/AAPL?limit=1&limit=2',
        '/ws/../ws',
        '//ws',
        '/ws?api_key=',
      ],
    ),
  },
);
interface Attack {
  readonly path: string;
  readonly acts: readonly Act[];
  /** Without a word, and without waiting for an answer. */
  readonly leaves: boolean;
}
const attack: fc.Arbitrary<Attack> = fc.record({
  path,
  acts: fc.array(act, { minLength: 1, maxLength: MESSAGES_EACH }),
  leaves: fc.integer({ min: 0, max: 4 }).map((one) => one === 0),
});
const header = fc.constantFrom(
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Connection: Upgrade',
  'Connection: close, upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Key: short',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Version: 8',
  'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=999',
  'Sec-WebSocket-Protocol: a, a,,',
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  `X-Long: ${'x'.repeat(20_000)}`,
  'Origin: null',
  'X-Forwarded-For: \x80\x81',
);
const upgrade = fc
  .tuple(fc.constantFrom('GET', 'POST', 'OPTIONS', 'FOO'), path, fc.uniqueArray(header, { maxLength: 8 }), bytes)
  .map(([method, where, headers, body]) =>
    Buffer.concat([
      Buffer.from(`${method} ${where} HTTP/1.1\r\nHost: x\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1'),
      body,
    ]),
  );

describeWithRedis(`hostile clients (CANDLEWIRE_SEED=${SEED})`, () => {
  let pipeline: Pipeline;
  let gateway: LiveGateway;
  let feeder: Feeder | undefined;
  let good: Witness;
  const faults: string[] = [];
  const seen = new Map<string | number, number>();
  const count = (what: string | number): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

  beforeAll(async () => {
    pipeline = await createPipeline();
    pipeline.spawn('aggregator');
    feeder = await startFeeder(pipeline, SYMBOLS, randomOf(SEED), PACE);
    gateway = await startGateway(pipeline);
    good = new Witness(gateway.origin, { symbols: SYMBOLS, intervals: INTERVALS, history: 10 });
    await waitFor(() => good.hasBegun, { timeoutMs: PATIENCE_MS });
  }, TEST_MS);

  afterAll(async () => {
    good?.close();
    await feeder?.stop();
    await pipeline?.close();
  });

  async function expectUndisturbed(): Promise<void> {
    expect(faults).toEqual([]);
    expect((await fetch(`${gateway.origin}/health`)).status).toBe(200);
    // The good client was served all the time.
    expect(good.closes).toEqual([]);
    const told = good.lastOf('AAPL', '1m');
    await waitFor(() => good.lastOf('AAPL', '1m') > told, { what: 'the good client hears of changes' });
    expect(pipeline.errors()).toEqual([]);
  }

  /** Judges a message of the gateway. */
  function hear(data: Buffer, isBinary: boolean): void {
    const said = data.toString();
    const fault = (what: string): void => void faults.push(`${what}: ${said.slice(0, 300)}`);
    if (isBinary) fault('binary');
    if (TRACE.test(said) && !said.includes('"id":')) fault('trace');
    const { type, code } = JSON.parse(said) as { type: string; code?: string };
    count(type);
    if (!TYPES.has(type)) fault('type');
    if (type === 'error' && !ERRORS.has(code!)) fault('code');
  }

  /** Resolves when the gateway, its store and this process have run, and seen what was sent before. */
  async function whenRead(): Promise<void> {
    const isRead = async () => {
      const response = await fetch(`${gateway.origin}/api/candles/AAPL?interval=1m&limit=1`);
      await response.text();
      return response.ok;
    };
    await waitFor(isRead).catch(() => {});
  }

  /** Opens a WebSocket and does all of `acts`; resolves when it is closed. */
  async function attackWith(one: Attack): Promise<void> {
    const ws = new WebSocket(`${gateway.origin.replace('http', 'ws')}${one.path}`);
    const closed = new Promise<number>((resolve) => ws.on('close', resolve));
    ws.on('error', ({ message }) => {
      const status = /Unexpected server response: (\d+)/.exec(message)?.[1];
      if (status !== undefined) count(status);
      if (status !== undefined && !STATUSES.has(Number(status))) faults.push(`${one.path}: status ${status}`);
    });
    ws.on('message', hear);
    ws.on('open', () => {
      for (const each of one.acts) perform(ws, each);
      if (one.leaves) ws.terminate();
      // The answer to the last message is behind all others; what waits for the rest of a frame never answers.
      const giveUp = setTimeout(() => void whenRead().then(() => ws.terminate()), GIVE_UP_MS);
      // But for what was read from the store.
      ws.on('message', (data: Buffer) => void (data.includes(LAST) && whenRead().then(() => ws.close())));
      ws.on('close', () => clearTimeout(giveUp));
      if (ws.readyState === WebSocket.OPEN) ws.send(JSON.stringify({ type: 'ping', id: LAST }));
    });
    const code = await closed;
    count(code);
    if (!CLOSES.has(code)) faults.push(`${one.path}: closed with ${code}`);
  }

  function perform(ws: WebSocket, one: Act): void {
    if (ws.readyState !== WebSocket.OPEN) return;
    if (one.how === 'binary') ws.send(one.bytes);
    else if (one.how === 'raw') (ws as unknown as { _socket: Socket })._socket.write(one.bytes);
    else if (one.how === 'text') ws.send(one.text);
    else sendInPieces(ws, one.text);
  }

  function sendInPieces(ws: WebSocket, whole: string): void {
    const step = Math.max(1, Math.ceil(whole.length / PIECES));
    for (let at = 0; at < whole.length; at += step)
      ws.send(whole.slice(at, at + step), { fin: at + step >= whole.length });
  }

  /** What a raw request is answered; empty where it is not. */
  async function answerTo(request: Buffer): Promise<string> {
    const socket = connect(gateway.port, '127.0.0.1');
    let answer = '';
    socket.on('error', () => {});
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      // Half a request is no request: whoever sends one hears nothing.
      if (answer.includes('\r\n\r\n')) socket.end();
    });
    socket.setTimeout(GIVE_UP_MS, () => void whenRead().then(() => socket.destroy()));
    socket.write(request);
    await once(socket, 'close');
    return answer;
  }

  async function inTurns<T>(all: readonly T[], one: (each: T) => Promise<void>): Promise<void> {
    const left = [...all];
    const work = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) await one(next);
    };
    await Promise.all(Array.from({ length: ATTACKERS_AT_ONCE }, work));
  }

  test(
    'hear what the protocol knows, and disturb nobody',
    async () => {
      await inTurns(fc.sample(attack, { numRuns: ATTACKERS, seed: SEED }), attackWith);
      // A walk that never got past the first check would prove little.
      const expected = [
        'subscribed',
        'unsubscribed',
        'snapshot',
        'reset',
        'historical',
        'pong',
        'error',
        1003,
        1008,
        1009,
      ];
      expect(expected.filter((what) => !seen.has(what))).toEqual([]);
      await expectUndisturbed();
    },
    TEST_MS,
  );

  test(
    'get no WebSocket for what is no handshake, nor a trace',
    async () => {
      const statuses = new Map<string, number>();
      await inTurns(fc.sample(upgrade, { numRuns: UPGRADES, seed: SEED }), async (request) => {
        const answer = await answerTo(request);
        const [line = ''] = answer.split('\r\n');
        const status = /^HTTP\/1\.1 (\d{3})/.exec(line)?.[1] ?? 'none';
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (/^5/.test(status) && status !== '503') faults.push(line);
        if (TRACE.test(answer)) faults.push(answer.slice(0, 500));
      });
      expect([...statuses.keys()].filter((status) => /^4/.test(status)).length).toBeGreaterThan(0);
      await expectUndisturbed();
    },
    TEST_MS,
  );

  test(
    'leave the good client whole',
    async () => {
      await feeder!.stop();
      await pipeline.consumed();
      await expectWhole(pipeline, gateway.origin, [good]);
    },
    TEST_MS,
  );
});
