import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus } from '@candlewire/bus';
import {
  type Bar,
  channelsOf,
  decodeBar,
  decodeEntry,
  FeedStatus,
  type JournalEntry,
  PARTITIONS,
  partitionOf,
  type Rev,
} from '@candlewire/contracts';
import { loadCalendar, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import {
  describeWithRedis,
  spawnService,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { createIngestor, type Ingestor } from './ingestor';
import { createReplaySource } from './sources/replay-source';
import { systemTime } from './time';

const EXAMPLE = join(__dirname, '../../../../shared/candles-example/bars.csv');
const testWithExample = existsSync(EXAMPLE) ? test : test.skip;
const PLAIN = 'symbol,timestamp,open,high,low,close,volume';
const BAR = 'AAPL,2025-11-03T14:30:00Z,10,11,9,10,100';
/** The New York midnight after it, the default grace and the margin. */
const FINISH = Date.UTC(2025, 10, 4, 5) + 35_000 + 60_000;

interface Delivered {
  readonly bar: Bar;
  /** Greatest arrival so far. */
  readonly clock: number;
}

/** The example's deliveries, read in the plainest way. */
function exampleDeliveries(): Delivered[] {
  let clock = 0;
  const optional = (text: string) => (text === '' ? null : Number(text));
  return readFileSync(EXAMPLE, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [, arrival, , rev, symbol, ts, open, high, low, close, volume, tradeCount, vwap] = line.split(',');
      clock = Math.max(clock, Date.parse(arrival!));
      const bar: Bar = {
        symbol: symbol!,
        openTime: Date.parse(ts!),
        open: Number(open),
        high: Number(high),
        low: Number(low),
        close: Number(close),
        volume: Number(volume),
        tradeCount: optional(tradeCount!),
        vwap: optional(vwap!),
        rev: Number(rev) as Rev,
      };
      return { bar, clock };
    });
}

describeWithRedis('the ingestor on real servers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ingestor-'));
  let database: TestDatabase;
  let redis: TestRedis;
  let bus: Bus;
  let store: Store;
  let stop: AbortController;
  let run: Promise<void>;

  beforeEach(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
    bus = connectBus({ url: redis.url, prefix: redis.prefix, logger: silentLogger });
    store = connectStore({ url: database.url, logger: silentLogger });
    stop = new AbortController();
    run = Promise.resolve();
  });

  afterEach(async () => {
    stop.abort();
    await run;
    await Promise.all([bus.close(), store.close()]);
    await Promise.all([redis.close(), database.drop()]);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  function replay(file: string): Ingestor {
    const ingestor = createIngestor({
      source: createReplaySource({
        file,
        speed: Number.POSITIVE_INFINITY,
        graceMs: 35_000,
        calendar: loadCalendar('nyse'),
        time: systemTime,
        logger: silentLogger,
      }),
      bus,
      store,
      migrate: () => migrate(database.url),
      prefix: redis.prefix,
      logger: silentLogger,
    });
    run = ingestor.run(stop.signal);
    return ingestor;
  }

  function written(lines: readonly string[]): string {
    const file = join(folder, 'bars.csv');
    writeFileSync(file, lines.join('\n'));
    return file;
  }

  async function status(): Promise<FeedStatus | null> {
    const text = await bus.kept(channelsOf(redis.prefix).feedStatus);
    return text === null ? null : FeedStatus.parse(JSON.parse(text));
  }

  const finished = () =>
    waitFor(async () => (await status())?.state === 'finished', { what: 'the replay is finished' });

  async function entriesOf(partition: number): Promise<JournalEntry[]> {
    const { entries } = await bus.journal.read(partition, { id: '', last: 0 }, 10_000);
    return entries.map(({ text }) => {
      const { entry, refused } = decodeEntry(text);
      expect(refused).toEqual([]);
      return entry;
    });
  }

  testWithExample(
    'a delivery log stands in the journals in its order, each entry with the clock of its arrivals',
    async () => {
      const deliveries = exampleDeliveries();
      const symbol = deliveries[0]!.bar.symbol;
      const heard: unknown[] = [];
      await bus.subscribe(channelsOf(redis.prefix).bars(symbol), (text) =>
        heard.push(decodeBar(JSON.parse(text), Number.POSITIVE_INFINITY)),
      );
      const ingestor = replay(EXAMPLE);
      await finished();

      const clocks = new Set(deliveries.map(({ clock }) => clock));
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const wanted = deliveries.filter(({ bar }) => partitionOf(bar.symbol) === partition);
        const entries = await entriesOf(partition);
        // The last arrival lies behind the end of every bucket.
        expect(entries.at(-1)!.clock).toBe(deliveries.at(-1)!.clock);
        expect(entries.flatMap(({ bars }) => bars)).toEqual(wanted.map(({ bar }) => bar));
        let count = 0;
        for (const { clock, bars } of entries) {
          count += bars.length;
          if (clock === null) continue;
          expect(clocks).toContain(clock);
          if (count > 0) expect(clock).toBeGreaterThanOrEqual(wanted[count - 1]!.clock);
          if (count < wanted.length) expect(clock).toBeLessThanOrEqual(wanted[count]!.clock);
        }
      }
      expect(ingestor.counters()).toMatchObject({ bars: deliveries.length, refused: {} });
      const ofSymbol = deliveries.filter(({ bar }) => bar.symbol === symbol).map(({ bar }) => bar);
      await waitFor(() => heard.length === ofSymbol.length);
      expect(heard).toEqual(ofSymbol);
    },
  );

  test('names the store its source, finishes every partition, and says so', async () => {
    replay(written([PLAIN, BAR, 'malformed']));
    await finished();
    expect(await store.identity()).toMatchObject({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
    for (let partition = 0; partition < PARTITIONS; partition++) {
      expect((await entriesOf(partition)).at(-1)).toEqual({ clock: FINISH, bars: [] });
    }
    expect(await status()).toMatchObject({ kind: 'replay', clock: new Date(FINISH).toISOString().replace('.000', '') });
  });

  test('plays again into journals that were emptied after it had finished', async () => {
    const ingestor = replay(written([PLAIN, BAR]));
    await finished();
    await redis.close();
    await waitFor(() => ingestor.counters().bars === 2);
    await finished();
    // Keys that went only after the others had been noticed are one more reason to play.
    const entries = await waitFor(async () => {
      const found = await entriesOf(partitionOf('AAPL'));
      return found.length >= 2 && found;
    });
    expect(entries.map(({ bars }) => bars.length)).toEqual([1, 0]);
    expect(entries.at(-1)!.clock).toBe(FINISH);
  });

  describe('as a process', () => {
    const env = () => ({
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      REDIS_PREFIX: redis.prefix,
      SOURCE: 'replay',
      REPLAY_FILE: written([PLAIN, BAR, 'malformed']),
      REPLAY_SPEED: 'max',
    });

    test('replays, logs the malformed line and the end, and goes with exit code 0 when told to', async () => {
      const service = spawnService('ingestor', env());
      await service.up(({ stderr }) => stderr.includes('replay finished'));
      const logged = service.stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(logged).toContainEqual(
        expect.objectContaining({ message: 'malformed line skipped', line: 3, reason: 'wrong_field_count' }),
      );
      expect(logged).toContainEqual(
        expect.objectContaining({ message: 'replay finished', lines: 2, bars: 1, malformed: 1, entries: 17 }),
      );
      expect(await service.stop()).toBe(0);
      expect((await status())!.state).toBe('finished');
    });

    test('ends with exit code 1 and a clear line where the store belongs to another source', async () => {
      await migrate(database.url);
      await store.declare({ source: 'simulator', calendar: '24x7', partitions: PARTITIONS });
      const service = spawnService('ingestor', env());
      expect((await service.exited).code).toBe(1);
      expect(service.stderr).toContain('this store holds candles of source simulator');
      expect(service.stderr).not.toContain('    at ');
      expect(await status()).toBeNull();
    });

    test('ends with exit code 1 and all that is wrong with its configuration, by name', async () => {
      const service = spawnService('ingestor', { SOURCE: 'replay', REPLAY_SPEED: 'fast' });
      expect((await service.exited).code).toBe(1);
      for (const name of ['REPLAY_FILE', 'REPLAY_SPEED', 'DATABASE_URL', 'REDIS_URL']) {
        expect(service.stderr).toMatch(new RegExp(`^ {2}- ${name}: `, 'm'));
      }
      expect(service.stderr).not.toContain('    at ');
    });

    test('says that it has failed where the file is none of bars, and stays', async () => {
      const service = spawnService('ingestor', { ...env(), REPLAY_FILE: __filename });
      await waitFor(async () => (await status())?.state === 'failed', {
        timeoutMs: 30_000,
        what: 'the source has failed',
      });
      expect((await status())!.reason).toContain('the first line must name the columns');
      expect(await service.stop()).toBe(0);
    });
  });
});
