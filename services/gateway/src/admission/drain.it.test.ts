import { ReadyResponse } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from '../ws/rig.suite';
import { connectClient, openClient } from '../ws/test-client.suite';

describeWithRedis('a gateway that goes down', () => {
  let rig: WsRig;
  beforeAll(async () => {
    rig = await wsRig();
  });
  afterAll(() => rig.close());

  const connected = ({ origin }: TestGateway, count: number) =>
    Promise.all(Array.from({ length: count }, () => connectClient(origin, '/ws')));

  test('is unready, and serves all the same for a moment before the first is sent away', async () => {
    const gateway = await rig.gateway();
    const [client] = await connected(gateway, 1);
    const stopped = gateway.stop();
    const late = openClient(gateway.origin, '/ws');
    const [ready, health, symbols] = await Promise.all(
      ['/ready', '/health', '/api/symbols'].map((path) => fetch(gateway.origin + path)),
    );
    expect([ready!.status, health!.status, symbols!.status]).toEqual([503, 200, 200]);
    expect(ReadyResponse.parse(await ready!.json()).status).toBe('not_ready');
    // Still as if nothing was: it is the others who must have seen it first.
    expect([client!.ws.readyState, client!.of('shutdown')]).toEqual([client!.ws.OPEN, []]);
    expect(await stopped).toBe(true);
    // A balancer that did not look in time sends clients here still: they are told where to go, as the others are.
    for (const one of [client!, late]) expect((await one.closed()).code).toBe(1012);
  });

  test('sends its clients away one after the other, each with a moment of its own to come back', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 500 } });
    const clients = await connected(gateway, 100);
    const closedAt: number[] = [];
    for (const { ws } of clients) ws.on('close', () => closedAt.push(performance.now()));
    expect(await gateway.stop()).toBe(true);
    const ends = await Promise.all(clients.map((client) => client.closed()));
    expect(new Set(ends.map(({ code }) => code))).toEqual(new Set([1012]));
    expect(closedAt.at(-1)! - closedAt[0]!).toBeGreaterThan(300);
    const pauses = clients.map((client) => client.of('shutdown')[0]!.reconnect_after_ms as number);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
    expect(new Set(pauses).size).toBeGreaterThan(50);
  });

  test('takes no longer than WS_DRAIN_MS to tell all of them, however many', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 0, connectionsPerIpMax: 400 } });
    const clients = await connected(gateway, 400);
    const begin = performance.now();
    expect(await gateway.stop()).toBe(true);
    // At 200 a second it would be two.
    expect(performance.now() - begin).toBeLessThan(1_500);
    for (const client of clients) expect((await client.closed()).code).toBe(1012);
  });

  test('is gone at once where nobody is connected', async () => {
    const gateway = await rig.gateway();
    const begin = performance.now();
    expect(await gateway.stop()).toBe(true);
    expect(performance.now() - begin).toBeLessThan(900);
  });

  test('cuts off who does not answer the close, and takes leave of who has not shown a key', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 100 }, apiKeys: ['a-long-key'] });
    const [mute, waiting] = await connected(gateway, 2);
    mute!.ws.pause();
    expect(await gateway.stop()).toBe(true);
    expect((await waiting!.closed()).code).toBe(1012);
    mute!.ws.resume();
    await waitFor(() => mute!.ws.readyState === mute!.ws.CLOSED, { what: 'the mute client is cut off' });
  });
});
