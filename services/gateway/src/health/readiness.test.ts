import { readFileSync } from 'node:fs';
import { createCalendar } from '@candlewire/candles';
import { ApiHealthResponse, type FeedStatus, ReadyChecks } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { createReadiness, type ReadinessDeps } from './readiness';

const NOW = Date.parse('2025-11-03T15:00:00Z');
const calendars = {
  nyse: createCalendar('nyse', readFileSync(require.resolve('@candlewire/candles/nyse-calendar.csv'), 'utf8')),
  '24x7': createCalendar('24x7', ''),
};
const status: FeedStatus = {
  kind: 'alpaca',
  state: 'live',
  last_bar_at: '2025-11-03T14:59:01Z',
  clock: null,
  updated_at: '2025-11-03T14:59:58Z',
};
const never = (): Promise<never> => new Promise(() => {});

/** Everything is well; `change` says what is not. */
function deps(change: { store?: Partial<ReadinessDeps['store']>; bus?: ReadinessDeps['bus'] } = {}): ReadinessDeps {
  return {
    store: {
      ping: async () => true,
      identity: async () => ({ epoch: 'e', source: 'alpaca', calendar: 'nyse', partitions: 16 }),
      owned: async () => 16,
      ...change.store,
    },
    bus: change.bus ?? { kind: 'redis', ping: async () => true },
    feed: { news: () => ({ status, liveSince: NOW }) },
    calendars,
    logger: silentLogger,
    now: () => NOW,
  };
}

test('it is ready when every check is, and says what it saw', async () => {
  expect(await createReadiness(deps()).report()).toEqual({
    ready: true,
    checks: {
      postgres: { ok: true },
      redis: { ok: true, bus: 'redis' },
      aggregator: { ok: true, owned: 16, partitions: 16 },
      feed: { ok: true, state: 'live', last_bar_at: '2025-11-03T14:59:01Z', session: 'regular' },
    },
    source: { kind: 'alpaca', state: 'live' },
  });
});

test('symbols that are not delivered are named, as long as the source is as it said', async () => {
  const source = async (change: Partial<FeedStatus>) => {
    const news = () => ({ status: { ...status, left_out: ['QQQ', 'SPY'], ...change }, liveSince: NOW });
    return (await createReadiness({ ...deps(), feed: { news } }).report()).source;
  };
  expect(await source({})).toEqual({ kind: 'alpaca', state: 'live', left_out: ['QQQ', 'SPY'] });
  expect(await source({ left_out: [] })).toEqual({ kind: 'alpaca', state: 'live' });
  expect(await source({ updated_at: '2025-11-03T14:00:00Z' })).toEqual({ kind: 'alpaca', state: 'connecting' });
});

test('servers that refuse are told as not ok', async () => {
  const refuse = async () => Promise.reject(new Error('ECONNREFUSED'));
  const store = { ping: async () => false, identity: refuse, owned: refuse };
  const { ready, checks } = await createReadiness(deps({ store, bus: { kind: 'redis', ping: refuse } })).report();
  expect(ready).toBe(false);
  expect(ReadyChecks.parse(checks)).toEqual({
    postgres: { ok: false },
    redis: { ok: false, bus: 'redis' },
    aggregator: { ok: false, owned: 0, partitions: 16 },
    feed: { ok: true, state: 'live', last_bar_at: '2025-11-03T14:59:01Z', session: null },
  });
});

test('servers that hang cost a second and not more', async () => {
  jest.useFakeTimers();
  const store = { ping: never, identity: never, owned: never };
  const report = createReadiness(deps({ store, bus: { kind: 'redis', ping: never } })).report();
  await jest.advanceTimersByTimeAsync(1_000);
  jest.useRealTimers();
  const { checks } = await report;
  expect([checks.postgres.ok, checks.redis.ok, checks.aggregator.ok]).toEqual([false, false, false]);
});

test('it is not ready while no partition has an owner', async () => {
  const { ready, checks } = await createReadiness(deps({ store: { owned: async () => 0 } })).report();
  expect([ready, checks.aggregator]).toEqual([false, { ok: false, owned: 0, partitions: 16 }]);
});

test('many probes at once are one look', async () => {
  let pings = 0;
  const readiness = createReadiness(deps({ store: { ping: async () => ++pings > 0 } }));
  await Promise.all(Array.from({ length: 100 }, () => readiness.report()));
  expect(pings).toBe(1);
});

test('leaving is told at once, whatever was seen before', async () => {
  const readiness = createReadiness(deps());
  expect((await readiness.report()).ready).toBe(true);
  readiness.leave();
  const { ready, checks, source } = await readiness.report();
  expect(ready).toBe(false);
  expect(ApiHealthResponse.parse({ status: 'degraded', checks, source })).toBeDefined();
});
