import { type Bar, type Candle, FeedStatus, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { createIngestor } from '@candlewire/ingestor';
import { loadCalendar, pause, silentLogger } from '@candlewire/runtime';
import { migrate } from '@candlewire/store';
import {
  createAlpacaMarket,
  describeWithRedis,
  FAKE_KEY,
  FAKE_SECRET,
  type FakeAlpaca,
  MONDAY_OPEN,
  scaledClock,
  startFakeAlpaca,
  waitFor,
} from '@candlewire/testkit';
import { createAlpacaSource } from '../../services/ingestor/src/sources/alpaca/alpaca-source';
import { TIMINGS } from '../../services/ingestor/src/sources/alpaca/timings';
import { createSymbolSet } from '../../services/ingestor/src/symbols';
import { createPipeline, type Pipeline } from './harness';

const TEST_MS = 240_000;
/** A minute of the market passes in a second. */
const SPEED = 60;
const SYMBOLS = ['AAPL', 'MSFT'];
const OUTAGE_MS = 12 * MINUTE_MS;

describeWithRedis('an outage of Alpaca while its market goes on', () => {
  let pipeline: Pipeline;
  let fake: FakeAlpaca;
  const stop = new AbortController();
  let running: Promise<void>;

  beforeAll(async () => {
    pipeline = await createPipeline();
    fake = await startFakeAlpaca({
      market: createAlpacaMarket({ chances: { corrected: 0, late: 0.3 } }),
      clock: scaledClock(MONDAY_OPEN + HOUR_MS, SPEED),
      plan: { sip: true },
    });
    pipeline.spawn('aggregator');
    running = ingestor();
  }, TEST_MS);

  afterAll(async () => {
    stop.abort();
    await running?.catch(() => {});
    await fake?.close();
    await pipeline?.close();
  });

  /** The real one, but for its clock: it runs with the market's. */
  function ingestor(): Promise<void> {
    const { bus, store, channels, prefix, databaseUrl } = pipeline;
    const time = {
      now: () => Math.floor(fake.now()),
      pause: (ms: number, signal?: AbortSignal) => pause(ms / SPEED, signal),
    };
    const calendar = loadCalendar('nyse');
    const deps = { store, bus, time, logger: silentLogger };
    const symbols = createSymbolSet({ ...deps, channel: channels.symbols, wanted: SYMBOLS, defaults: [] });
    const settings = {
      keyId: FAKE_KEY,
      secret: FAKE_SECRET,
      feed: 'iex',
      streamUrl: fake.streamUrl(),
      dataUrl: fake.origin,
      symbolsMax: 30,
      trades: true,
    } as const;
    // What the SDK waits for passes in real time.
    const timings = { ...TIMINGS, authMs: SPEED * TIMINGS.authMs, requestMs: SPEED * TIMINGS.requestMs };
    const source = createAlpacaSource({
      settings,
      calendar,
      symbols: symbols.current,
      time,
      logger: silentLogger,
      timings,
    });
    const fill = { store, databaseUrl, calendar, historyDays: 1, maxPerMin: 10_000 };
    const { signal } = stop;
    return createIngestor({
      ...deps,
      source,
      symbols,
      fill,
      rebuilds: store,
      migrate: () => migrate(databaseUrl),
      prefix,
    }).run(signal);
  }

  async function feed(): Promise<FeedStatus | null> {
    const text = await pipeline.bus.kept(pipeline.channels.feedStatus);
    return text === null ? null : FeedStatus.parse(JSON.parse(text));
  }

  async function stored(symbol: string, from: number, to: number): Promise<readonly Candle[]> {
    const [candles] = await pipeline.store.answer([{ kind: 'candles', symbol, interval: '1m', from, to, limit: 1e6 }]);
    return candles as Candle[];
  }

  const fields = ({ openTime, open, high, low, close, volume, vwap, tradeCount }: Bar | Candle) =>
    JSON.stringify({ openTime, open, high, low, close, volume, vwap, tradeCount });

  test(
    'leaves the store as if it had never been: exactly what the market says',
    async () => {
      const begin = fake.now();
      const live = async () => ['live', 'backfilling'].includes((await feed())?.state ?? '');
      await waitFor(live, { timeoutMs: 30_000, what: 'the feed to be live' });
      await waitFor(() => fake.now() > begin + 5 * MINUTE_MS, { timeoutMs: 30_000 });

      fake.setFaults({ connections: () => ({ upgrade: 503 }) });
      fake.drop('terminate');
      const from = fake.now();
      await waitFor(async () => (await feed())?.state === 'connecting', { timeoutMs: 10_000 });
      await waitFor(() => fake.now() > from + OUTAGE_MS, { timeoutMs: 60_000 });
      expect(await feed()).toMatchObject({
        state: 'connecting',
        clock: null,
        reason: 'Unexpected server response: 503',
      });
      // Its minutes, and the one before it, have not turned final.
      for (const symbol of SYMBOLS) {
        const open = await stored(symbol, from - 2 * MINUTE_MS, fake.now());
        expect(open.filter((candle) => candle.final && candle.openTime > from - MINUTE_MS)).toEqual([]);
      }

      fake.setFaults({});
      await waitFor(live, { timeoutMs: 60_000, what: 'the feed to be live again' });
      const to = Math.floor(fake.now() / MINUTE_MS) * MINUTE_MS;
      const first = loadCalendar('nyse').openTimeOf('1d', MONDAY_OPEN);
      for (const symbol of SYMBOLS) {
        const truth = fake.market.history(symbol, first, to, Number.POSITIVE_INFINITY).map(fields);
        expect(truth.length).toBeGreaterThan(60);
        await waitFor(async () => (await stored(symbol, first, to)).map(fields).join() === truth.join(), {
          timeoutMs: 150_000,
          what: `all of ${symbol}`,
        });
      }
    },
    TEST_MS,
  );
});
