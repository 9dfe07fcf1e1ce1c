import { type Bus, connectBus, type JournalHead } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { type Bar, channelsOf, encodeEntry, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import {
  bar,
  describeWithRedis,
  MONDAY_OPEN,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { type Aggregator, createAggregator } from './aggregator';

const rules = { calendar: createCalendar('24x7', ''), graceMs: 35_000 };

describeWithRedis('an aggregator', () => {
  let database: TestDatabase;
  let redis: TestRedis;
  let store: Store;
  let bus: Bus;
  let heads: JournalHead[];
  let running: Aggregator[] = [];

  beforeEach(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
    await migrate(database.url);
    store = connectStore({ url: database.url, logger: silentLogger });
    bus = connectBus({ url: redis.url, prefix: redis.prefix, logger: silentLogger });
    await waitFor(() => bus.ping(), { what: 'the bus is there' });
    await store.declare({ source: 'replay', calendar: '24x7', partitions: PARTITIONS });
    heads = await bus.journal.open(PARTITIONS);
  });

  afterEach(async () => {
    await Promise.all(running.map((aggregator) => aggregator.stop()));
    running = [];
    await Promise.all([store.close(), bus.close()]);
    await redis.close();
    await database.drop();
  });

  async function start(owner: string, over: Partial<Store> = {}): Promise<Aggregator> {
    const { epoch } = (await store.identity())!;
    const aggregator = createAggregator({
      store: { ...store, ...over },
      bus,
      channels: channelsOf(redis.prefix),
      epoch,
      rules,
      logger: silentLogger,
      owner,
      beatMs: 50,
      // Nobody dies here, not even where the machine is busy.
      leaseMs: 60_000,
    });
    running.push(aggregator);
    return aggregator;
  }

  async function append(symbol: string, clock: number | null, bars: readonly Bar[]): Promise<void> {
    const partition = partitionOf(symbol);
    const [appended] = await bus.journal.append(null, [
      { partition, known: heads[partition]!, text: encodeEntry({ clock, bars }), bars: bars.length },
    ]);
    heads[partition] = appended!.head;
  }

  async function candles(symbol: string): Promise<{ close: number; final: boolean; seq: number; revision: number }[]> {
    const page = await store.candles({
      symbol,
      interval: '1m',
      direction: 'forward',
      from: null,
      to: null,
      limit: 1_000,
    });
    return JSON.parse(`[${page.candlesJson}]`);
  }

  it('shares the partitions evenly with another one, and takes them over when that one leaves', async () => {
    const first = await start('first');
    await waitFor(() => first.held().length === PARTITIONS, { what: 'the first holds all' });
    const second = await start('second');
    await waitFor(() => first.held().length === PARTITIONS / 2 && second.held().length === PARTITIONS / 2, {
      what: 'each holds half',
    });
    expect(new Set([...first.held(), ...second.held()]).size).toBe(PARTITIONS);
    running = [second];
    await first.stop();
    await waitFor(() => second.held().length === PARTITIONS, { what: 'the second holds all' });
  });

  it('makes a candle final by the clock alone, also as an owner that did not see its bars', async () => {
    await start('first');
    await append('AAPL', MONDAY_OPEN + MINUTE_MS, [bar({ close: 101 })]);
    await waitFor(async () => (await candles('AAPL')).length === 1, { what: 'the candle is stored' });
    expect(await candles('AAPL')).toMatchObject([{ close: 101, final: false, seq: 1, revision: 1 }]);
    await running.pop()!.stop();

    await start('second');
    await append('AAPL', MONDAY_OPEN + MINUTE_MS + 35_000, []);
    await waitFor(async () => (await candles('AAPL'))[0]!.final, { what: 'the candle is final' });
    expect(await candles('AAPL')).toMatchObject([{ close: 101, final: true, seq: 2, revision: 2 }]);
  });

  it('gives up an entry that cannot be stored, and stores all others', async () => {
    const aggregator = await start('first', {
      commit: (partition, fence, position, changes) => {
        const poisoned = changes.some(({ series }) =>
          series.some(({ changed }) => changed.some(({ close }) => close === 666)),
        );
        return poisoned
          ? Promise.reject(new Error('value out of range'))
          : store.commit(partition, fence, position, changes);
      },
    });
    const at = (minute: number, close: number) => bar({ openTime: MONDAY_OPEN + minute * MINUTE_MS, close });
    await append('AAPL', null, [at(0, 100)]);
    await append('AAPL', null, [at(1, 101), at(2, 666)]);
    await append('AAPL', null, [at(3, 103)]);
    await append('AAPL', null, [at(4, 104)]);
    await waitFor(async () => (await candles('AAPL')).at(-1)?.close === 104, { what: 'the last entry is stored' });
    expect((await candles('AAPL')).map(({ close }) => close)).toEqual([100, 103, 104]);
    expect(aggregator.counters.poisoned).toBe(1);
  });

  it('counts what is no bar and no entry, and goes on', async () => {
    const aggregator = await start('first');
    const partition = partitionOf('AAPL');
    const [appended] = await bus.journal.append(null, [
      { partition, known: heads[partition]!, text: 'nonsense', bars: 0 },
    ]);
    heads[partition] = appended!.head;
    await append('AAPL', MONDAY_OPEN, [bar({ close: -1, low: -1 }), bar({ close: 100 })]);
    await waitFor(async () => (await candles('AAPL')).length === 1, { what: 'the good bar is stored' });
    expect(aggregator.counters.refused).toEqual({ bad_entry: 1, non_positive_price: 1 });
  });

  it('stores its position though nothing changes, so that the journal can be trimmed', async () => {
    await start('first');
    await append('AAPL', MONDAY_OPEN, [bar()]);
    await waitFor(async () => (await candles('AAPL')).length === 1, { what: 'the bar is stored' });
    for (let i = 0; i < 5; i++)
      await append(
        'AAPL',
        MONDAY_OPEN,
        Array.from({ length: 500 }, () => bar()),
      );
    await waitFor(async () => (await bus.journal.waiting(PARTITIONS))[partitionOf('AAPL')]! < 2_000, {
      what: 'repeats are consumed',
    });
    expect(await candles('AAPL')).toMatchObject([{ seq: 1, revision: 1 }]);
  });

  it('stores its position soon after bars that change nothing, once, and not for clocks alone', async () => {
    const aggregator = await start('first');
    const idle = 'MSFT';
    expect(partitionOf(idle)).not.toBe(partitionOf('AAPL'));
    await append('AAPL', MONDAY_OPEN, [bar()]);
    await waitFor(async () => (await candles('AAPL')).length === 1, { what: 'the bar is stored' });
    for (let n = 1; n <= 3; n++) await append(idle, MONDAY_OPEN + n, []);
    // As history does, that says what is there already.
    await append('AAPL', null, [bar(), bar()]);
    const { last } = heads[partitionOf('AAPL')]!;
    await waitFor(async () => (await store.consumed(partitionOf('AAPL'))).last === last, { what: 'it is confirmed' });
    await waitFor(async () => (await bus.journal.waiting(PARTITIONS))[partitionOf('AAPL')] === 0, {
      what: 'the journal may be trimmed',
    });
    // A time in which it would be confirmed again, if it were: another one has to come round.
    await append('AAPL', null, [bar()]);
    await waitFor(async () => (await store.consumed(partitionOf('AAPL'))).last === last + 1, {
      what: 'so is the next',
    });
    // Counted once the answer is there, which the store may be ahead of.
    await waitFor(() => aggregator.counters.commits === 3, { what: 'three commits' });
    expect(await store.consumed(partitionOf(idle))).toEqual({ id: '', last: 0 });
    expect(await candles('AAPL')).toMatchObject([{ seq: 1, revision: 1 }]);
  });
});
