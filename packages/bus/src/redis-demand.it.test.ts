import { channelsOf } from '@candlewire/contracts';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { describeWithRedis, type TestRedis, testRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import type { Bus } from './bus';
import { WANTED_MAX } from './limits';
import { connectBus } from './redis-bus';
import { whenConnected } from './test-bus.suite';

const LONG_MS = 60_000;

describeWithRedis('demand on Redis, seen from Redis', () => {
  let server: TestRedis;
  let raw: Redis;
  let bus: Bus;
  let leases: string;
  let order: string;
  let warnings: Fields[];

  beforeEach(async () => {
    server = (await testRedis())!;
    raw = new Redis(server.url);
    warnings = [];
    const logger: Logger = { ...silentLogger, warn: (event, fields) => warnings.push({ event, ...fields }) };
    bus = connectBus({ url: server.url, prefix: server.prefix, logger });
    await whenConnected(bus);
    ({ demand: leases, demandOrder: order } = channelsOf(server.prefix));
  });
  afterEach(async () => {
    await bus.close();
    await server.close();
    await raw.quit();
  });

  test('a lease ends by the clock of Redis', async () => {
    const now = async () => {
      const [seconds, micros] = await raw.time();
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    };
    const before = await now();
    await bus.demand.want(['B', 'A'], LONG_MS);
    const end = Number(await raw.zscore(leases, 'A'));
    expect(end).toBeGreaterThanOrEqual(before + LONG_MS);
    expect(end).toBeLessThanOrEqual((await now()) + LONG_MS);
    expect(await raw.zrange(order, '0', '-1')).toEqual(['B', 'A']);
  });

  test('a new symbol is announced on the channel that has the name of the set', async () => {
    const listener = raw.duplicate();
    const got: string[][] = [];
    listener.on('message', (...message: string[]) => got.push(message));
    await listener.subscribe(leases);
    await bus.demand.want(['A', 'B'], LONG_MS);
    await waitFor(() => got.length > 0);
    expect(got).toEqual([[leases, '2']]);
    listener.disconnect();
  });

  test.each<[string, () => Promise<unknown>]>([
    ['reading', () => bus.demand.wanted()],
    ['wanting', () => bus.demand.want(['C'], LONG_MS)],
    ['dropping', () => bus.demand.drop('C')],
  ])('%s removes what has run out', async (_, act) => {
    await bus.demand.want(['A', 'B'], LONG_MS);
    await raw.zadd(leases, '1', 'A');
    await act();
    expect([await raw.zscore(leases, 'A'), await raw.zscore(order, 'A')]).toEqual([null, null]);
    expect((await bus.demand.wanted())[0]).toBe('B');
  });

  test('after the order is gone everything wanted is still wanted, and new symbols come last', async () => {
    await bus.demand.want(['A'], 2 * LONG_MS);
    await bus.demand.want(['B'], LONG_MS);
    await raw.del(order);
    expect(await bus.demand.wanted()).toEqual(['B', 'A']);
    await bus.demand.want(['C'], LONG_MS / 2);
    expect(await bus.demand.wanted()).toEqual(['B', 'A', 'C']);
  });

  test('after the leases are gone nothing is wanted, and what is wanted again is new', async () => {
    await bus.demand.want(['A', 'B'], LONG_MS);
    await raw.del(leases);
    expect(await bus.demand.wanted()).toEqual([]);
    await bus.demand.want(['B', 'A'], LONG_MS);
    expect(await bus.demand.wanted()).toEqual(['B', 'A']);
  });

  test('scripts that Redis has forgotten are loaded again', async () => {
    await bus.demand.want(['A'], LONG_MS);
    await raw.script('FLUSH');
    await bus.demand.want(['B'], LONG_MS);
    await raw.script('FLUSH');
    expect(await bus.demand.wanted()).toEqual(['A', 'B']);
  });

  test('symbols that are left out are counted in the log', async () => {
    const symbols = Array.from({ length: WANTED_MAX + 3 }, (_, i) => `S${i}`);
    await bus.demand.want(symbols, LONG_MS);
    await bus.demand.want(['S0'], LONG_MS);
    expect(await raw.zcard(leases)).toBe(WANTED_MAX);
    expect(warnings).toEqual([{ event: 'too many symbols wanted', leftOut: 3 }]);
  });
});
