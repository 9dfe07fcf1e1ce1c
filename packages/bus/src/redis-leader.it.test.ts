import { channelsOf } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { describeWithRedis, type TestRedis, testRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import type { Bus } from './bus';
import { connectBus } from './redis-bus';
import { whenConnected } from './test-bus.suite';

const LEASE_MS = 60_000;

describeWithRedis('the lead on Redis, seen from Redis', () => {
  let server: TestRedis;
  let raw: Redis;
  let bus: Bus;
  let lease: string;
  let count: string;

  beforeEach(async () => {
    server = (await testRedis())!;
    raw = new Redis(server.url);
    bus = connectBus({ url: server.url, prefix: server.prefix, logger: silentLogger });
    await whenConnected(bus);
    ({ leader: lease, leaderCount: count } = channelsOf(server.prefix));
  });
  afterEach(async () => {
    await bus.close();
    await server.close();
    await raw.quit();
  });

  test('is a hash with owner and token that Redis itself lets expire', async () => {
    const token = await bus.leader.acquire('host:7', LEASE_MS);
    expect(await raw.hgetall(lease)).toEqual({ owner: 'host:7', token });
    const leftMs = await raw.pttl(lease);
    expect(leftMs).toBeGreaterThan(LEASE_MS / 2);
    expect(leftMs).toBeLessThanOrEqual(LEASE_MS);
    expect(await raw.get(count)).toBe('1');
    await bus.leader.renew(token!, 2 * LEASE_MS);
    expect(await raw.pttl(lease)).toBeGreaterThan(LEASE_MS);
  });

  test('a token tells how often the lead was taken, and by whom', async () => {
    for (const times of [1, 2, 3]) {
      const token = (await bus.leader.acquire('host:7', LEASE_MS))!;
      expect(token).toMatch(new RegExp(`^${times}:[0-9a-f-]{36}:host:7$`));
      await bus.leader.release(token);
      expect(await raw.exists(lease)).toBe(0);
    }
  });

  test('that is let go is announced on the channel that has the name of the key', async () => {
    const listener = raw.duplicate();
    const got: string[][] = [];
    listener.on('message', (...message: string[]) => got.push(message));
    await listener.subscribe(lease);
    const token = (await bus.leader.acquire('host:7', LEASE_MS))!;
    await bus.leader.release(token);
    await waitFor(() => got.length > 0);
    expect(got).toEqual([[lease, token]]);
    listener.disconnect();
  });

  test('scripts that Redis has forgotten are loaded again', async () => {
    const token = (await bus.leader.acquire('host:7', LEASE_MS))!;
    const [known] = await bus.journal.open(1);
    await raw.script('FLUSH');
    expect(await bus.leader.renew(token, LEASE_MS)).toBe(true);
    await raw.script('FLUSH');
    const beside = [{ channel: `${server.prefix}:x`, text: '' }];
    const [appended] = await bus.journal.append(token, [{ partition: 0, known: known!, text: 'a', bars: 1 }], beside);
    expect(appended!.head.last).toBe(1);
  });
});
