import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Bus, createInProcessBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { channelsOf, encodeEntry, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { ConfigError, createMetrics, type Running, runPhases, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store, StoreUnavailable } from '@candlewire/store';
import { bar, freePort, MONDAY_OPEN, type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { type Aggregator, createAggregator } from './aggregator';
import { startAggregator } from './index';

const SYMBOL = 'AAPL';
const P = partitionOf(SYMBOL);

let database: TestDatabase;
let store: Store;
let bus: Bus;
let running: Running | null = null;

beforeEach(async () => {
  database = await testDatabase();
  await migrate(database.url);
  store = connectStore({ url: database.url, logger: silentLogger });
  await store.declare({ source: 'simulator', calendar: '24x7', partitions: PARTITIONS });
  bus = createInProcessBus({ logger: silentLogger }).connect();
});

afterEach(async () => {
  if (running !== null) await runPhases(running.shutdown, silentLogger);
  running = null;
  await Promise.all([store.close(), bus.close()]);
  await database.drop();
});

/** Samples by what stands before their value, e.g. `candlewire_aggregator_candles_total{interval="1m"}`. */
async function scrape(port: number): Promise<Readonly<Record<string, number>>> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

test('an aggregator tells what it reads, commits and refuses, at a port of its own until it is stopped', async () => {
  const port = await freePort();
  const env = { DATABASE_URL: database.url, METRICS_PORT: String(port) };
  running = await startAggregator(env, silentLogger, { bus });
  const of = (name: string) => `candlewire_aggregator_${name}`;
  await waitFor(async () => (await scrape(port))[of('partitions_owned')] === PARTITIONS, { what: 'all are owned' });

  const heads = await bus.journal.open(PARTITIONS);
  const clock = MONDAY_OPEN + MINUTE_MS;
  const good = [bar({ symbol: SYMBOL }), bar({ symbol: SYMBOL, close: -1, low: -1 })];
  await bus.journal.append(null, [
    { partition: P, known: heads[P]!, text: encodeEntry({ clock, bars: good }), bars: 2 },
  ]);
  const after = await waitFor(
    async () => {
      const found = await scrape(port);
      return found[of('publish_lag_seconds_count')] === 1 && found;
    },
    { what: 'the bar is committed and told' },
  );
  expect(after).toMatchObject({
    [of('bars_total')]: 1,
    [of('refused_total{reason="non_positive_price"}')]: 1,
    [of('commits_total')]: 1,
    [of('candles_total{interval="1m"}')]: 1,
    [of('candles_total{interval="1d"}')]: 1,
    [of('commit_seconds_count')]: 1,
    [of(`behind_seconds{partition="${P}"}`)]: 0,
    [of('poisoned_entries_total')]: 0,
    [of('rebuilt_candles_total')]: 0,
    [of('corrected_candles_total')]: 0,
    [of('deleted_minutes_total')]: 0,
    [of('partitions_lost_total')]: 0,
  });
  expect(after[of('messages_total')]).toBeGreaterThanOrEqual(4);
  expect(after.nodejs_heap_size_used_bytes).toBeGreaterThan(0);

  // Another owner comes, and gets its share.
  const other = connectStore({ url: database.url, logger: silentLogger });
  await waitFor(
    async () => {
      await other.beat('other', 60_000, new Map());
      return (await scrape(port))[of('partitions_owned')] === PARTITIONS / 2;
    },
    { what: 'half of them are given back' },
  );
  await other.close();
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  expect(await health.json()).toMatchObject({ status: 'ok', service: 'aggregator' });

  await runPhases(running.shutdown, silentLogger);
  running = null;
  await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow();
});

describe('an aggregator whose commits hang or fail', () => {
  let aggregator: Aggregator;
  afterEach(() => aggregator.stop());

  /** @returns the value of one of its samples */
  async function started(commit: Store['commit']): Promise<(name: string) => Promise<number>> {
    const metrics = createMetrics({ ofProcess: false });
    aggregator = createAggregator({
      store: { ...store, commit },
      bus,
      channels: channelsOf(),
      epoch: 'e',
      rules: { calendar: createCalendar('24x7', ''), graceMs: 35_000 },
      logger: silentLogger,
      metrics,
      owner: 'test',
      beatMs: 50,
    });
    await waitFor(() => aggregator.held().length === PARTITIONS, { what: 'all are owned' });
    return async (name) => Number((await metrics.text()).split(`\ncandlewire_aggregator_${name} `)[1]?.split('\n')[0]);
  }

  async function append(clock: number, close: number): Promise<void> {
    const known = (await bus.journal.open(PARTITIONS))[P]!;
    const text = encodeEntry({ clock, bars: [bar({ symbol: SYMBOL, close })] });
    await bus.journal.append(null, [{ partition: P, known, text, bars: 1 }]);
  }

  test('is behind by the age of its clock while bars wait, and no more once they are committed', async () => {
    let release: () => void = () => {};
    const hanging = new Promise<void>((resolve) => {
      release = resolve;
    });
    let commits = 0;
    const value = await started(async (...commit) => {
      if (++commits > 1) await hanging;
      return store.commit(...commit);
    });
    const behind = () => value(`behind_seconds{partition="${P}"}`);
    await append(Date.now() - 120_000, 100);
    await waitFor(async () => (await value('commits_total')) === 1, { what: 'the first is committed' });
    expect(await behind()).toBe(0);
    await append(Date.now(), 101);
    await waitFor(async () => (await behind()) >= 120, { what: 'the second waits' });
    expect(await behind()).toBeLessThan(180);
    release();
    await waitFor(async () => (await behind()) === 0, { what: 'the second is committed' });
  });

  test('counts a partition that another owner took away', async () => {
    const value = await started(async () => null);
    await append(Date.now(), 100);
    await waitFor(async () => (await value('partitions_lost_total')) > 0, { what: 'the fence is counted' });
    expect(await value('partitions_failed_total')).toBe(0);
    expect(await value('commits_total')).toBe(0);
  });

  test('counts a partition that it could not go on with', async () => {
    const value = await started(() => Promise.reject(new StoreUnavailable('away')));
    await append(Date.now(), 100);
    await waitFor(async () => (await value('partitions_failed_total')) > 0, { what: 'the failure is counted' });
    expect(await value('partitions_lost_total')).toBe(0);
  });
});

test('a METRICS_PORT in use is told by name', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const start = startAggregator({ DATABASE_URL: database.url, METRICS_PORT: String(port) }, silentLogger, { bus });
  await expect(start).rejects.toBeInstanceOf(ConfigError);
  await expect(start).rejects.toMatchObject({ problems: [`METRICS_PORT: ${port} is in use on 127.0.0.1`] });
  taken.close();
});
