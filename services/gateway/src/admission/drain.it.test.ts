import { ReadyResponse } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { stopClocks } from '../rig.suite';
import { Connection } from '../ws/connection';
import { type TestGateway, type WsRig, wsRig } from '../ws/rig.suite';
import { connectClient } from '../ws/test-client.suite';

const NOTICE_MS = 1_000;
/** A client has so long to answer a close. */
const CLOSE_MS = 5_000;

describeWithRedis('a gateway that goes down', () => {
  let rig: WsRig;
  beforeAll(async () => {
    rig = await wsRig();
  });
  afterAll(() => rig.close());

  beforeEach(() => stopClocks('setTimeout', 'clearTimeout', 'performance'));
  afterEach(async () => {
    // Where a test failed, what still waits comes to its end.
    await jest.advanceTimersByTimeAsync(60_000);
    jest.useRealTimers();
  });

  const connected = ({ origin }: TestGateway, count: number) =>
    Promise.all(Array.from({ length: count }, () => connectClient(origin, '/ws')));

  test('is unready, and serves all the same for a moment before the first is sent away', async () => {
    const gateway = await rig.gateway();
    const [client] = await connected(gateway, 1);
    const stopped = gateway.stop();
    const late = await connectClient(gateway.origin, '/ws');
    const [ready, health, symbols] = await Promise.all(
      ['/ready', '/health', '/api/symbols'].map((path) => fetch(gateway.origin + path)),
    );
    expect([ready!.status, health!.status, symbols!.status]).toEqual([503, 200, 200]);
    expect(ReadyResponse.parse(await ready!.json()).status).toBe('not_ready');
    // Still as if nothing was: it is the others who must have seen it first.
    await jest.advanceTimersByTimeAsync(NOTICE_MS - 1);
    client!.say({ type: 'ping' });
    await client!.heard('pong');
    expect([client!.ws.readyState, client!.of('shutdown')]).toEqual([client!.ws.OPEN, []]);
    for (const ms of [1, 100]) await jest.advanceTimersByTimeAsync(ms);
    expect(await stopped).toBe(true);
    // A balancer that did not look in time sends clients here still: they are told where to go, as the others are.
    for (const one of [client!, late]) expect((await one.closed()).code).toBe(1012);
  });

  test('sends its clients away one after the other, each with a moment of its own to come back', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 500 } });
    const clients = await connected(gateway, 100);
    const leave = jest.spyOn(Connection.prototype, 'leave');
    const stopped = gateway.stop();
    // As long a notice, and half of the time in which they go.
    await jest.advanceTimersByTimeAsync(500);
    await jest.advanceTimersByTimeAsync(250);
    expect(leave.mock.calls.length).toBeGreaterThan(40);
    expect(leave.mock.calls.length).toBeLessThan(60);
    await jest.advanceTimersByTimeAsync(250);
    leave.mockRestore();
    expect(await stopped).toBe(true);
    const ends = await Promise.all(clients.map((client) => client.closed()));
    expect(new Set(ends.map(({ code }) => code))).toEqual(new Set([1012]));
    const pauses = clients.map((client) => client.of('shutdown')[0]!.reconnect_after_ms as number);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
    expect(new Set(pauses).size).toBeGreaterThan(50);
  });

  test('takes no longer than WS_DRAIN_MS to tell all of them, however many', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 0, connectionsPerIpMax: 400 } });
    const clients = await connected(gateway, 400);
    const stopped = gateway.stop();
    await jest.advanceTimersByTimeAsync(1);
    // Without any more time: whoever was to wait for a turn would wait for ever.
    expect(await stopped).toBe(true);
    for (const client of clients) expect((await client.closed()).code).toBe(1012);
  });

  test('is gone at once where nobody is connected', async () => {
    const gateway = await rig.gateway();
    // No time passes.
    expect(await gateway.stop()).toBe(true);
  });

  test('cuts off who does not answer the close, and takes leave of who has not shown a key', async () => {
    const gateway = await rig.gateway({ limits: { drainMs: 100 }, apiKeys: ['a-long-key'] });
    const [mute, waiting] = await connected(gateway, 2);
    mute!.ws.pause();
    const stopped = gateway.stop();
    // The notice, and the time in which they go.
    for (const ms of [100, 100]) await jest.advanceTimersByTimeAsync(ms);
    expect((await waiting!.closed()).code).toBe(1012);
    await jest.advanceTimersByTimeAsync(CLOSE_MS);
    expect(await stopped).toBe(true);
    mute!.ws.resume();
    await waitFor(() => mute!.ws.readyState === mute!.ws.CLOSED, { what: 'the mute client is cut off' });
  });
});
