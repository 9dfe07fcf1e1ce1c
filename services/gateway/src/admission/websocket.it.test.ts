import { connect } from 'node:net';
import { ErrorResponse } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import WebSocket from 'ws';
import { stopClocks } from '../rig.suite';
import { type GatewayOptions, type WsRig, wsRig } from '../ws/rig.suite';
import { connectClient, openClient, type TestClient } from '../ws/test-client.suite';

const KEY = 'a-key-of-the-first-client';
const AUTH = { type: 'auth', api_key: KEY };

describeWithRedis('who may open a websocket', () => {
  let rig: WsRig;
  beforeAll(async () => {
    rig = await wsRig();
    await rig.writer.commit('AAPL', '1m', [[0, 100]]);
  });
  afterAll(() => rig.close());
  afterEach(() => jest.useRealTimers());

  const gatewayWith = async (options: GatewayOptions): Promise<string> => (await rig.gateway(options)).origin;

  /** The answer to an upgrade that is refused. */
  function refusal(origin: string, path: string, headers: Record<string, string> = {}) {
    return new Promise<{ status: number; code: string; headers: Record<string, unknown> }>((resolve, reject) => {
      const ws = new WebSocket(`${origin.replace('http', 'ws')}${path}`, { headers });
      ws.on('open', () => reject(new Error('it was accepted')));
      ws.on('error', reject);
      ws.on('unexpected-response', (_req, res) => {
        let body = '';
        res.on('data', (bytes) => (body += bytes));
        res.on('end', () => {
          const { code } = ErrorResponse.strict().parse(JSON.parse(body)).error;
          resolve({ status: res.statusCode!, code, headers: res.headers });
        });
      });
    });
  }

  async function isServed(client: TestClient): Promise<void> {
    client.say({ type: 'subscribe', symbols: ['AAPL'] });
    await client.heard('subscribed');
    await client.close();
  }

  async function isSentAway(client: TestClient, message?: RegExp): Promise<void> {
    expect((await client.closed()).code).toBe(4401);
    expect(client.told.at(-1)).toMatchObject({ type: 'error', code: 'unauthorized' });
    if (message !== undefined) expect(client.told.at(-1)!.message).toMatch(message);
  }

  describe('with keys', () => {
    let origin: string;
    beforeAll(async () => {
      origin = await gatewayWith({ apiKeys: ['another-key', KEY], corsOrigins: [] });
    });

    test.each([
      ['Authorization', '/ws', { Authorization: `Bearer ${KEY}` }],
      ['X-API-Key', '/ws', { 'X-API-Key': KEY }],
      ['the query', `/ws?api_key=${KEY}`, {}],
    ])('one in %s is enough', async (_where, path, headers) => {
      await isServed(await connectClient(origin, path, { headers }));
    });

    test.each([
      ['/ws', { Authorization: 'Bearer wrong' }],
      ['/ws', { Authorization: 'Bearer' }],
      ['/ws', { 'X-API-Key': `${KEY}x` }],
      ['/ws?api_key=wrong', {}],
      ['/ws?api_key=', {}],
      ['/ws/candles/AAPL?api_key=wrong', {}],
    ])('a wrong one is refused before the upgrade: %s %j', async (path, headers) => {
      const refused = await refusal(origin, path, headers as Record<string, string>);
      expect([refused.status, refused.code]).toEqual([401, 'unauthorized']);
      expect(refused.headers['www-authenticate']).toBe('Bearer realm="candlewire", error="invalid_token"');
    });

    test('the first message may bring it; pings are answered before', async () => {
      const client = await connectClient(origin, '/ws');
      client.say({ type: 'ping', id: 1 });
      expect(await client.heard('pong')).toEqual({ type: 'pong', id: 1 });
      client.say({ ...AUTH, id: { any: 'thing' } });
      expect(await client.heard('authenticated')).toEqual({ type: 'authenticated', id: { any: 'thing' } });
      await isServed(client);
    });

    test('nothing is told before it was shown', async () => {
      const client = await connectClient(origin, '/ws/candles/AAPL');
      client.say({ type: 'ping' });
      await client.heard('pong');
      client.say(AUTH);
      await client.heard('historical');
      expect(client.told.map(({ type }) => type)).toEqual(['pong', 'authenticated', 'historical']);
      await client.close();
    });

    test('what is sent right behind it is heard', async () => {
      const client = await connectClient(origin, '/ws');
      client.say(AUTH);
      await isServed(client);
    });

    test.each([
      ['a wrong key', { type: 'auth', api_key: 'wrong' }],
      ['no key', { type: 'auth' }],
      ['a key that is no text', { type: 'auth', api_key: [KEY] }],
      ['another message', { type: 'subscribe', symbols: ['AAPL'] }],
      ['one with an id', { type: 'subscribe', id: 7, symbols: ['AAPL'] }],
      ['a wrong key with an id', { type: 'auth', id: 7, api_key: 'wrong' }],
      ['no JSON', '?'],
      ['null', 'null'],
    ])('%s as the first message ends the connection', async (_what, message) => {
      const { id } = message as { readonly id?: unknown };
      for (const path of ['/ws', '/ws/candles/AAPL']) {
        const client = await connectClient(origin, path);
        client.say(message);
        client.say(AUTH);
        await isSentAway(client);
        expect(client.told.map((told) => told.id)).toEqual([id]);
      }
    });

    test('a wrong one ends the connection later as well, a right one does nothing more', async () => {
      const client = await connectClient(origin, `/ws?api_key=${KEY}`);
      client.say(AUTH);
      await client.heard('authenticated');
      client.say({ type: 'subscribe', symbols: ['AAPL'] });
      await client.heard('subscribed');
      client.say({ type: 'auth', api_key: 'wrong' });
      await isSentAway(client);
    });

    test('who shows none in time is sent away, who has shown one stays', async () => {
      stopClocks('setTimeout', 'clearTimeout');
      const quick = await gatewayWith({ apiKeys: [KEY], limits: { authMs: 100 } });
      const shown = await connectClient(quick, '/ws');
      const clients = await Promise.all([connectClient(quick, '/ws'), connectClient(quick, '/ws/candles/AAPL')]);
      jest.advanceTimersByTime(99);
      shown.say(AUTH);
      await shown.heard('authenticated');
      clients[0]!.say({ type: 'ping' });
      await clients[0]!.heard('pong');
      jest.advanceTimersByTime(1);
      for (const client of clients) await isSentAway(client, /within 100 ms/);
      await isServed(shown);
    });

    test('who waits with it counts as a connection', async () => {
      const small = await gatewayWith({ apiKeys: [KEY], limits: { connectionsMax: 1 } });
      const waiting = await connectClient(small, '/ws');
      expect((await refusal(small, `/ws?api_key=${KEY}`)).status).toBe(503);
      await waiting.close();
    });

    test('pages of other origins are refused with a right one, the own page is not', async () => {
      const { status, code } = await refusal(origin, `/ws?api_key=${KEY}`, { Origin: 'https://a.example' });
      expect([status, code]).toEqual([403, 'forbidden']);
      await isServed(await connectClient(origin, `/ws?api_key=${KEY}`, { origin }));
    });
  });

  test('without keys a message with one is answered, and an address with one is no mistake', async () => {
    const origin = await gatewayWith({});
    const client = await connectClient(origin, '/ws?api_key=anything', { headers: { 'X-API-Key': 'anything' } });
    client.say({ type: 'auth', api_key: 'anything', id: 7 });
    expect(await client.heard('authenticated')).toEqual({ type: 'authenticated', id: 7 });
    await isServed(client);
  });

  test('connections of one address are limited, and there is room when one has gone', async () => {
    const origin = await gatewayWith({ limits: { connectionsPerIpMax: 2 } });
    const clients = [await connectClient(origin, '/ws'), await connectClient(origin, '/ws/candles/AAPL')];
    const refused = await refusal(origin, '/ws', { 'X-Forwarded-For': '198.51.100.7' });
    expect([refused.status, refused.code, refused.headers['retry-after']]).toEqual([429, 'rate_limited', '1']);
    await clients[0]!.close();
    const next = await waitFor(async () => {
      const another = openClient(origin, '/ws');
      await waitFor(() => another.ws.readyState !== WebSocket.CONNECTING);
      return another.ws.readyState === WebSocket.OPEN && another;
    });
    await Promise.all([next.close(), clients[1]!.close()]);
  });

  test('behind a trusted proxy the address is the one that it names', async () => {
    const origin = await gatewayWith({ limits: { connectionsPerIpMax: 1 }, trustProxy: ['loopback'] });
    const from = (address: string) => ({ 'X-Forwarded-For': address });
    const clients = await Promise.all(
      ['198.51.100.7', '198.51.100.8'].map((address) => connectClient(origin, '/ws', { headers: from(address) })),
    );
    expect((await refusal(origin, '/ws', from('1.2.3.4, 198.51.100.8'))).status).toBe(429);
    for (const client of clients) await isServed(client);
  });

  test('an upgrade of what is no address at all is answered, and the gateway lives', async () => {
    const origin = await gatewayWith({});
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(Number(new URL(origin).port), '127.0.0.1', () =>
        socket.write('GET // HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      );
      socket.on('data', (bytes) => (text += bytes));
      socket.on('close', () => resolve(text));
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1.1 404 /);
    await isServed(await connectClient(origin, '/ws'));
  });

  test('who came and went is logged at level debug, with address, origin and code, and never a key', async () => {
    const lines: [level: string, event: string, fields: unknown][] = [];
    const at = (level: string) => (event: string, fields?: unknown) => void lines.push([level, event, fields]);
    const logger: Logger = {
      error: at('error'),
      warn: at('warn'),
      info: at('info'),
      debug: at('debug'),
      child: () => logger,
    };
    const { origin, stop } = await rig.gateway({ apiKeys: [KEY], logger });
    const client = await connectClient(origin, `/ws?api_key=${KEY}`, { origin: 'https://a.example' });
    for (const message of [AUTH, { type: 'subscribe', symbols: ['AAPL'] }, '?', KEY]) client.say(message);
    await client.heard('error', 2);
    await client.close();
    const candles = await connectClient(origin, `/ws/candles/no-symbol?api_key=${KEY}&limit=${KEY}`);
    await candles.closed();
    await refusal(origin, `/ws?api_key=wrong-${KEY}`);
    await stop();
    const ip = '127.0.0.1';
    expect(lines.filter(([, event]) => event.startsWith('websocket'))).toEqual([
      ['debug', 'websocket opened', { ip, origin: 'https://a.example' }],
      ['debug', 'websocket closed', { ip, origin: 'https://a.example', code: 1005 }],
      ['debug', 'websocket opened', { ip, origin: null }],
      ['debug', 'websocket closed', { ip, origin: null, code: expect.any(Number) }],
    ]);
    expect(JSON.stringify(lines)).not.toContain(KEY);
    expect(JSON.stringify([client.told, candles.told])).not.toContain(KEY);
  });
});
