import { connect } from 'node:net';
import { ErrorResponse, INTERVALS, priceUpdate } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import WebSocket from 'ws';
import { OpenChannels, TooManyChannels } from '../live/channels';
import { stopClocks } from '../rig.suite';
import { Connection } from './connection';
import type { WsLimits } from './limits';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, openClient, type TestClient } from './test-client.suite';

const PAYLOAD = 'x'.repeat(8_000);

describeWithRedis('limits of websockets', () => {
  let rig: WsRig;
  let one: TestGateway;

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
  });
  afterAll(() => rig.close());
  afterEach(() => jest.useRealTimers());

  /** Those by which it is judged whether a client answers and reads. */
  const stopPulse = () => stopClocks('performance', 'setInterval', 'clearInterval');
  /** Those too by which a client that is sent away has only so long to read why. */
  const stopGoodbyes = () => stopClocks('performance', 'setInterval', 'clearInterval', 'setTimeout', 'clearTimeout');

  const limited = async (limits: Partial<WsLimits>, path = '/ws') => {
    const gateway = await rig.gateway({ limits });
    return { gateway, client: await connectClient(gateway.origin, path) };
  };

  /** The answer to an upgrade that is refused. */
  function refusal(origin: string, path: string, headers: Record<string, string> = {}) {
    return new Promise<{ status: number; body: unknown; headers: Record<string, unknown> }>((resolve, reject) => {
      const ws = new WebSocket(`${origin.replace('http', 'ws')}${path}`, { headers });
      ws.on('open', () => reject(new Error('it was accepted')));
      ws.on('error', reject);
      ws.on('unexpected-response', (_req, res) => {
        let body = '';
        res.on('data', (bytes) => (body += bytes));
        res.on('end', () => resolve({ status: res.statusCode!, body: JSON.parse(body), headers: res.headers }));
      });
    });
  }

  test.each(['/', '/ws/', '/wss', '/ws/candles', '/ws/candles/A/B', '/api/symbols', '//ws'])(
    'no socket is at %s',
    async (path) => {
      const { status, body } = await refusal(one.origin, path);
      expect([status, ErrorResponse.strict().parse(body).error.code]).toEqual([404, 'not_found']);
    },
  );

  test('pages of other origins are refused where origins are listed', async () => {
    const { origin } = await rig.gateway({ corsOrigins: ['https://a.example'] });
    for (const other of ['https://b.example', 'http://a.example', 'null']) {
      const { status, body } = await refusal(origin, '/ws', { Origin: other });
      expect([status, ErrorResponse.parse(body).error.code]).toEqual([403, 'forbidden']);
    }
    const allowed = await connectClient(origin, '/ws', { origin: 'https://a.example' });
    const noBrowser = await connectClient(origin, '/ws');
    for (const client of [allowed, noBrowser]) {
      client.say({ type: 'ping' });
      await client.heard('pong');
      await client.close();
    }
  });

  test('what is no handshake is answered with JSON', async () => {
    const { port } = new URL(one.origin);
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      );
      socket.on('data', (bytes) => (text += bytes));
      socket.on('close', () => resolve(text));
      socket.on('error', reject);
    });
    const [head, body] = answer.split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[\s\S]*Sec-WebSocket-Version: 13/);
    expect(ErrorResponse.strict().parse(JSON.parse(body!)).error.code).toBe('invalid_parameter');
  });

  test('no more connections than allowed, and a new one when another has gone', async () => {
    const { gateway, client } = await limited({ connectionsMax: 1 });
    const { status, headers } = await refusal(gateway.origin, '/ws');
    expect([status, headers['retry-after']]).toEqual([503, '1']);
    await client.close();
    const next = await waitFor(async () => {
      const another = openClient(gateway.origin, '/ws');
      await waitFor(() => another.ws.readyState !== WebSocket.CONNECTING);
      return another.ws.readyState === WebSocket.OPEN && another;
    });
    await next.close();
  });

  async function ends(client: TestClient, code: number, error: string | null): Promise<void> {
    expect((await client.closed()).code).toBe(code);
    expect(client.of('error').at(-1)?.code).toBe(error ?? undefined);
  }

  test('binary frames end the connection', async () => {
    const client = await connectClient(one.origin, '/ws');
    client.ws.send(Buffer.from('{"type":"ping"}'));
    await ends(client, 1003, 'unsupported_data');
    expect(client.of('pong')).toEqual([]);
  });

  test('a message that is too big ends the connection', async () => {
    const { client } = await limited({ messageBytesMax: 200 });
    client.say({ type: 'ping', id: 'x'.repeat(100) });
    await client.heard('pong');
    client.say({ type: 'ping', id: 'x'.repeat(200) });
    await ends(client, 1009, 'payload_too_large');
    expect(await client.closed()).toEqual({ code: 1009, reason: 'message: must not exceed 200 bytes' });
    expect(client.of('error')[0]!.message).toBe('message: must not exceed 200 bytes');
  });

  test('one that is far too big is not even taken', async () => {
    const { client } = await limited({ messageBytesMax: 200 });
    client.say({ type: 'ping', id: 'x'.repeat(800) });
    await ends(client, 1009, null);
  });

  test('more subscriptions than allowed end the connection; * counts one', async () => {
    const { client } = await limited({ subscriptionsMax: 3 });
    client.say({ type: 'subscribe', symbols: ['*', 'A', 'B', 'A'] });
    client.say({ type: 'unsubscribe', symbols: ['A'] });
    client.say({ type: 'subscribe', symbols: ['B', 'C'] });
    expect((await client.heard('subscribed', 2)).symbols).toEqual(['*', 'B', 'C']);
    client.say({ type: 'subscribe', id: { of: 'mine' }, symbols: ['D'] });
    // Not heard any more.
    client.say({ type: 'subscribe', symbols: ['B'] });
    await ends(client, 4409, 'too_many_subscriptions');
    expect(client.told.at(-1)).toMatchObject({ type: 'error', id: { of: 'mine' } });
    const another = (await limited({ subscriptionsMax: 3 })).client;
    another.say({ type: 'subscribe', id: 0, channel: 'candles', symbols: ['A', 'B'], intervals: ['1m', '1h'] });
    await ends(another, 4409, 'too_many_subscriptions');
    expect(another.told).toMatchObject([{ type: 'error', id: 0 }]);
  });

  test('messages over the rate end the connection, after a burst', async () => {
    // However long it takes until they are heard, they come within one moment.
    stopPulse();
    const { client } = await limited({ inboundPerS: 1, inboundBurst: 10 });
    for (let i = 0; i < 15; i++) client.say({ type: 'ping' });
    await ends(client, 4429, 'rate_limited');
    expect(client.of('pong').length).toBeGreaterThanOrEqual(10);
    expect(client.of('pong').length).toBeLessThan(15);
    const pinging = await limited({ inboundPerS: 1, inboundBurst: 10 });
    for (let i = 0; i < 15; i++) pinging.client.ws.ping();
    await ends(pinging.client, 4429, 'rate_limited');
  });

  test('twenty errors are told, one more ends the connection', async () => {
    const client = await connectClient(one.origin, '/ws');
    for (let i = 0; i < 20; i++) client.say('?');
    client.say({ type: '?', id: 'the last' });
    await ends(client, 1008, 'too_many_errors');
    expect(client.of('error')).toHaveLength(21);
    expect(client.told.at(-1)!.id).toBe('the last');
  });

  test('one error is forgotten each minute', async () => {
    const client = await connectClient(one.origin, '/ws');
    for (let i = 0; i < 20; i++) client.say('?');
    await client.heard('error', 20);
    const now = performance.now.bind(performance);
    const later = jest.spyOn(performance, 'now').mockImplementation(() => now() + 60_000);
    client.say('?');
    await client.heard('error', 21);
    client.say({ type: 'ping' });
    await client.heard('pong');
    client.say('?');
    await ends(client, 1008, 'too_many_errors');
    later.mockRestore();
  });

  describe('where no more channels can be opened', () => {
    const { use } = OpenChannels.prototype;
    const MANY = Array.from({ length: 30 }, (_, i) => `FULL${i}`);

    beforeEach(() => {
      jest.spyOn(OpenChannels.prototype, 'use').mockImplementation(function (
        this: typeof OpenChannels.prototype,
        ...of
      ) {
        if (of[0].includes('FULL')) throw new TooManyChannels(1);
        return use.apply(this, of);
      });
    });
    afterEach(() => jest.restoreAllMocks());

    test.each([
      ['prices', 'a list of symbols', { symbols: [...MANY, 'AAPL'] }],
      ['candles', 'symbols at intervals', { symbols: [...MANY, 'AAPL'], intervals: ['1m', '5m'], snapshot: 1 }],
    ])('%s of %s are refused with one error, with its id', async (channel, _what, asked) => {
      const client = await connectClient(one.origin, '/ws');
      client.say({ type: 'subscribe', id: { n: 7 }, channel, ...asked });
      expect(await client.heard('error')).toEqual({
        type: 'error',
        id: { n: 7 },
        code: 'unavailable',
        message: `30 of the symbols cannot be followed now (${MANY.slice(0, 10).join(', ')}, …); try again later`,
      });
      client.say({ type: 'ping' });
      await client.heard('pong');
      expect(client.of('error')).toHaveLength(1);
      await client.close();
    });

    test('that is no mistake of the client', async () => {
      const client = await connectClient(one.origin, '/ws');
      for (let id = 0; id < 25; id++) client.say({ type: 'subscribe', id, symbols: ['FULL'] });
      await client.heard('error', 25);
      expect(client.of('error').map(({ id }) => id)).toEqual(Array.from({ length: 25 }, (_, id) => id));
      client.say({ type: 'ping' });
      await client.heard('pong');
      await client.close();
    });

    test.each(['prices', 'candles'])('%s of a symbol that appears later: the id is that of *', async (channel) => {
      const client = await connectClient(one.origin, '/ws');
      client.say({ type: 'subscribe', id: 'all', channel, symbols: ['*'] });
      await client.heard('subscribed');
      const symbol = `FULL.${channel.toUpperCase()}`;
      await fetch(`${one.origin}/api/symbols`, { method: 'POST', body: JSON.stringify({ symbol }) });
      await waitFor(() => client.of('error').some(({ message }) => `${message}`.includes(symbol)));
      expect(client.of('error').at(-1)).toMatchObject({ id: 'all', code: 'unavailable' });
      client.say({ type: 'subscribe', id: 'again', channel, symbols: ['*'], snapshot: 1 });
      client.say({ type: 'ping' });
      await client.heard('pong');
      const again = client.of('error').filter(({ id }) => id === 'again');
      expect(again).toHaveLength(channel === 'candles' ? 1 : 0);
      await client.close();
    });

    test('candles of one series are refused, and the client may come back', async () => {
      const client = await connectClient(one.origin, '/ws/candles/FULL');
      await ends(client, 4503, 'unavailable');
    });
  });

  test('silence is broken by heartbeats', async () => {
    const begun = Date.now();
    const { client } = await limited({ heartbeatMs: 50 });
    const { timestamp } = await client.heard('heartbeat', 2);
    expect(Date.parse(timestamp as string)).toBeGreaterThanOrEqual(begun);
    expect(Date.parse(timestamp as string)).toBeLessThanOrEqual(Date.now());
    await client.close();
  });

  test('who answers no ping is gone, who answers stays', async () => {
    stopPulse();
    const { gateway, client } = await limited({ pingMs: 100 });
    const mute = await connectClient(gateway.origin, '/ws', { autoPong: false });
    let pings = 0;
    client.ws.on('ping', () => pings++);
    for (let expected = 1; expected <= 4; expected++) {
      jest.advanceTimersByTime(100);
      await waitFor(() => pings === expected);
      // The pong was sent before this request, and is there before it.
      await fetch(`${gateway.origin}/health`);
    }
    expect((await mute.closed()).code).toBe(1006);
    expect(client.ws.readyState).toBe(WebSocket.OPEN);
    await client.close();
  });

  /** Publishes more prices than the system's own buffers take, while one client does not read and another does. */
  async function flood(client: TestClient, quick: TestClient): Promise<number> {
    for (const each of [client, quick]) {
      each.say({ type: 'subscribe', symbols: ['SLOW'] });
      await rig.hears(each, 'SLOW');
    }
    client.ws.pause();
    const channel = rig.channels.prices('SLOW');
    const before = quick.of('price_update').length;
    let sent = 0;
    for (; sent < 3_000; sent += 100) {
      const messages = Array.from({ length: 100 }, (_, i) => {
        const price = priceUpdate('SLOW', sent + i + 1, null, '2025-11-03T14:30:00Z', 1);
        return { channel, text: JSON.stringify({ ...price, PAYLOAD }) };
      });
      await rig.bus.publish(messages);
      await waitFor(() => quick.of('price_update').length >= before + sent + 100);
    }
    return sent;
  }

  test('who does not read is closed as too slow; the others are not held up', async () => {
    stopGoodbyes();
    const { gateway, client } = await limited({ stallMs: 200, pingMs: 600_000 });
    const quick = await connectClient(gateway.origin, '/ws');
    const sent = await flood(client, quick);
    const refuse = jest.spyOn(Connection.prototype, 'refuse');
    jest.advanceTimersByTime(200);
    // Sockets have their turn first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(refuse).toHaveBeenCalledTimes(1);
    refuse.mockRestore();
    client.ws.resume();
    await ends(client, 4408, 'too_slow');
    expect(client.of('price_update').length).toBeLessThan(sent);
    expect(quick.ws.readyState).toBe(WebSocket.OPEN);
    await quick.close();
  });

  test('who reads slowly misses prices, and is told the newest in the end', async () => {
    const { gateway, client } = await limited({ queueSoftBytes: 64 * 1024, stallMs: 600_000, pingMs: 600_000 });
    const quick = await connectClient(gateway.origin, '/ws');
    const sent = await flood(client, quick);
    client.ws.resume();
    await waitFor(() => client.of('price_update').at(-1)?.price === sent);
    expect(client.of('price_update').length).toBeLessThan(sent);
    client.say({ type: 'ping' });
    await client.heard('pong');
    for (const each of [client, quick]) await each.close();
  });

  describe('a client that reads what it asked for bit by bit', () => {
    const SYMBOLS = Array.from({ length: 16 }, (_, i) => `BIG${i}`);
    const ROWS = 1_000;
    const SNAPSHOTS = SYMBOLS.length * INTERVALS.length;
    const READ_EVERY_MS = 300;
    const READ_FOR_MS = 5_000;

    beforeEach(stopPulse);

    beforeAll(async () => {
      for (const symbol of SYMBOLS) {
        for (const interval of INTERVALS)
          await rig.writer.commit(
            symbol,
            interval,
            Array.from({ length: ROWS }, (_, minute) => [minute, 1 + minute] as const),
          );
      }
    }, 60_000);

    /** Far more than the system's own buffers take; it reads a message, and then no more until it is told to. */
    async function asking(limits: Partial<WsLimits>) {
      const { client } = await limited({ inboundBurst: 100_000, pingMs: 600_000, ...limits });
      client.ws.on('message', () => client.ws.pause());
      const asked = { symbols: SYMBOLS, intervals: INTERVALS, snapshot: ROWS };
      client.say({ type: 'subscribe', channel: 'candles', ...asked });
      return client;
    }

    /** Every one of them came whole. */
    async function expectAll(client: TestClient, also = () => {}): Promise<void> {
      await waitFor(
        () => {
          also();
          client.ws.resume();
          return client.of('snapshot').length === SNAPSHOTS;
        },
        { what: 'all snapshots' },
      );
      for (const { candles } of client.of('snapshot')) expect(candles).toHaveLength(ROWS);
      client.ws.resume();
      await client.close();
    }

    async function readSlowly(client: TestClient, also = () => {}): Promise<void> {
      for (let passedMs = 0; passedMs < READ_FOR_MS; passedMs += READ_EVERY_MS) {
        const before = client.told.length;
        also();
        client.ws.resume();
        await waitFor(() => client.told.length > before, { what: 'a message' });
        jest.advanceTimersByTime(READ_EVERY_MS);
      }
      // There is more for it than it has read.
      expect(client.of('snapshot').length).toBeLessThan(SNAPSHOTS / 2);
    }

    test('is not taken for one that does not read', async () => {
      const client = await asking({ stallMs: 2_000 });
      await readSlowly(client);
      await expectAll(client);
    });

    test('gets its pongs between the frames', async () => {
      const client = await asking({});
      let pongs = 0;
      client.ws.on('pong', () => pongs++);
      const ping = () => client.ws.ping();
      await readSlowly(client, ping);
      await expectAll(client, ping);
      expect(pongs).toBeGreaterThan(0);
    });
  });

  test('what a client asks for and does not read is limited, too', async () => {
    const { client } = await limited({ queueHardBytes: 64 * 1024, inboundBurst: 100_000, pingMs: 600_000 });
    client.ws.pause();
    const refuse = jest.spyOn(Connection.prototype, 'refuse');
    const id = 'x'.repeat(10_000);
    for (let i = 0; i < 2_000; i++) client.say({ type: 'ping', id });
    await waitFor(() => refuse.mock.calls.length > 0, { what: 'it is too slow' });
    refuse.mockRestore();
    // It has some seconds to hear why.
    client.ws.resume();
    await ends(client, 4408, 'too_slow');
    expect(client.of('pong').length).toBeLessThan(2_000);
  });

  test('at shutdown each client is told when to come back, and new ones are refused', async () => {
    const gateway = await rig.gateway();
    const clients = await Promise.all(['/ws', '/ws/candles/AAPL'].map((path) => connectClient(gateway.origin, path)));
    expect(await gateway.stop()).toBe(true);
    for (const client of clients) {
      expect((await client.closed()).code).toBe(1012);
      const last = client.told.at(-1)!;
      expect(last).toEqual({ type: 'shutdown', reconnect_after_ms: expect.any(Number) });
      expect(last.reconnect_after_ms).toBeGreaterThanOrEqual(500);
    }
  });
});
