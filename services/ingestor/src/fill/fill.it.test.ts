import { type Bus, connectBus } from '@candlewire/bus';
import {
  type Bar,
  type Candle,
  channelsOf,
  DAY_MS,
  decodeTicks,
  encodeEntry,
  HOUR_MS,
  MINUTE_MS,
  PARTITIONS,
  partitionOf,
} from '@candlewire/contracts';
import { loadCalendar, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import {
  describeWithRedis,
  type SpawnedService,
  spawnService,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { createSimulatorSource } from '../sources/simulator-source';
import { systemTime } from '../time';

const FILL_TIMEOUT_MS = 60_000;
/** Leases and locks of those who were killed have to run out first. */
jest.setTimeout(3 * FILL_TIMEOUT_MS);
/** More than live bars come to; where so many wait, no more history is appended beside these. */
const SOME_BARS = 100;
const calendar = loadCalendar('24x7');
const simulator = createSimulatorSource({ seed: 7, calendar, symbols: () => [], time: systemTime });

describeWithRedis('history', () => {
  let database: TestDatabase;
  let redis: TestRedis;
  let bus: Bus;
  let store: Store;
  const services: SpawnedService[] = [];

  beforeEach(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
    bus = connectBus({ url: redis.url, prefix: redis.prefix, logger: silentLogger });
    store = connectStore({ url: database.url, logger: silentLogger });
    await migrate(database.url);
    await store.declare({ source: 'simulator', calendar: '24x7', partitions: PARTITIONS });
  });

  afterEach(async () => {
    for (const service of services) service.kill('SIGCONT');
    await Promise.all(services.splice(0).map((service) => service.stop()));
    await Promise.all([bus.close(), store.close()]);
    await Promise.all([redis.close(), database.drop()]);
  });

  function spawned(name: 'ingestor' | 'aggregator', env: Record<string, string> = {}): SpawnedService {
    const servers = { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix };
    const service = spawnService(name, { ...servers, ...(name === 'ingestor' ? { SIM_SEED: '7' } : {}), ...env });
    services.push(service);
    return service;
  }

  async function truth(symbol: string, from: number, to: number): Promise<Bar[]> {
    const bars: Bar[] = [];
    for await (const page of simulator.history!(symbol, from, to, new AbortController().signal))
      bars.push(...page.bars);
    return bars;
  }

  /** Waits until every minute of the range is stored, and compares each with what the source says of it. */
  async function expectStored(symbol: string, from: number, to: number): Promise<void> {
    const wanted = await truth(symbol, from, to);
    expect(wanted.length).toBeGreaterThan(100);
    const stored = async () => {
      const [candles] = await store.answer([{ kind: 'candles', symbol, interval: '1m', from, to, limit: 1e6 }]);
      return candles as Candle[];
    };
    await waitFor(async () => ((await store.head(symbol, '1m'))?.seq ?? 0) >= wanted.length, {
      timeoutMs: FILL_TIMEOUT_MS,
      what: `as many minutes of ${symbol} as there are`,
    });
    await waitFor(async () => (await stored()).length === wanted.length, {
      timeoutMs: FILL_TIMEOUT_MS,
      what: `every minute of ${symbol}`,
    });
    const fields = ({ openTime, open, high, low, close, volume, vwap, tradeCount }: Bar | Candle) => ({
      openTime,
      open,
      high,
      low,
      close,
      volume,
      vwap,
      tradeCount,
    });
    expect((await stored()).map(fields)).toEqual(wanted.map(fields));
  }

  /** Up to here nothing comes from live bars of this test. */
  const now = () => Date.now() - (Date.now() % MINUTE_MS) - 2 * MINUTE_MS;
  const waiting = async (symbol: string) => (await bus.journal.waiting(PARTITIONS))[partitionOf(symbol)]!;

  test('of the first days is complete, also where the process that filled it was killed half-way', async () => {
    const days = 15;
    const env = { SYMBOLS: 'AAPL,MSFT', HISTORY_DAYS: `${days}` };
    const to = now();
    const first = spawned('ingestor', env);
    // Nobody consumes: it stops in the midst of it.
    await waitFor(async () => Math.max(await waiting('AAPL'), await waiting('MSFT')) >= SOME_BARS, {
      timeoutMs: 30_000,
      what: 'a fill is half-way',
    });
    first.kill('SIGKILL');
    await first.exited;
    spawned('aggregator');
    spawned('ingestor', env);
    let from = calendar.openTimeOf('1d', to);
    for (let day = 0; day < days; day++) from = calendar.openTimeOf('1d', from - 1);
    for (const symbol of ['AAPL', 'MSFT']) await expectStored(symbol, from, to);
    expect(await store.historyOf()).toMatchObject([{ historyFrom: from }, { historyFrom: from }]);
  });

  test('that was missed, and lost again with the journal before it was committed, leaves no hole', async () => {
    const to = now();
    const from = to - DAY_MS;
    await store.register([{ symbol: 'AAPL', name: null }]);
    await store.historyBegins(['AAPL'], from);
    const aggregator = spawned('aggregator');
    const known = (await bus.journal.open(PARTITIONS))[partitionOf('AAPL')]!;
    const bars = await truth('AAPL', from, from + 5 * HOUR_MS);
    await bus.journal.append(null, [
      { partition: partitionOf('AAPL'), known, text: encodeEntry({ clock: null, bars }), bars: bars.length },
    ]);
    await waitFor(async () => (await store.head('AAPL', '1m'))?.seq === bars.length, {
      timeoutMs: 30_000,
      what: 'the first hours are stored',
    });
    aggregator.kill('SIGSTOP');
    spawned('ingestor');
    await waitFor(async () => (await waiting('AAPL')) >= SOME_BARS, {
      timeoutMs: 30_000,
      what: 'the hole is being filled',
    });
    await redis.close();
    aggregator.kill('SIGCONT');
    await expectStored('AAPL', from, to);
  });

  test('and delivery begin when a symbol is registered, and delivery ends when it is deactivated', async () => {
    spawned('aggregator');
    spawned('ingestor', { SYMBOLS: 'AAPL', HISTORY_DAYS: '1' });
    const seconds = await tickSeconds('AAPL', 'NEW');
    await waitFor(() => seconds.AAPL!.size > 0, { timeoutMs: 30_000, what: 'AAPL is delivered' });
    const to = now();
    await store.register([{ symbol: 'NEW', name: null }]);
    await bus.publish([{ channel: channelsOf(redis.prefix).symbols, text: 'NEW' }]);
    await waitFor(() => seconds.NEW!.size > 2, { what: 'NEW is delivered' });
    await expectStored('NEW', calendar.openTimeOf('1d', calendar.openTimeOf('1d', to) - 1), to);
    await store.deactivate('NEW');
    await expectSilence(seconds, 'NEW', 'AAPL');
  });

  test('is not filled for a symbol that is merely watched, which is delivered while it is', async () => {
    spawned('aggregator');
    spawned('ingestor', { SYMBOLS: 'AAPL', HISTORY_DAYS: '0' });
    const seconds = await tickSeconds('AAPL', 'WATCHED');
    await waitFor(() => seconds.AAPL!.size > 0, { timeoutMs: 30_000, what: 'AAPL is delivered' });
    // As a gateway renews it, for as long as somebody watches.
    await waitFor(
      async () => {
        await bus.demand.want(['WATCHED'], 4_000);
        return seconds.WATCHED!.size > 1;
      },
      { what: 'WATCHED is delivered' },
    );
    expect(await store.activeSymbols()).toEqual(['AAPL']);
    await expectSilence(seconds, 'WATCHED', 'AAPL');
    expect(await store.historyOf(['WATCHED'])).toEqual([]);
  });

  /** Seconds for which ticks of each symbol came. */
  async function tickSeconds(...symbols: string[]): Promise<Record<string, Set<number>>> {
    const seconds = Object.fromEntries(symbols.map((symbol) => [symbol, new Set<number>()]));
    for (const partition of new Set(symbols.map((symbol) => partitionOf(symbol)))) {
      await bus.subscribe(channelsOf(redis.prefix).ticks(partition), (text) => {
        for (const { symbol, time } of decodeTicks(text)) seconds[symbol]?.add(time);
      });
    }
    return seconds;
  }

  async function expectSilence(seconds: Record<string, Set<number>>, symbol: string, other: string): Promise<void> {
    await waitFor(
      () => {
        const last = Math.max(...seconds[symbol]!);
        return [...seconds[other]!].filter((second) => second > last + 1_000).length >= 4;
      },
      { timeoutMs: 30_000, what: `${symbol} is no longer delivered` },
    );
  }
});
