import { type Candle, FeedStatus, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import {
  type ConnectionFault,
  createAlpacaMarket,
  describeWithRedis,
  type FakeAlpaca,
  MONDAY_OPEN,
  type RequestFault,
  startFakeAlpaca,
  waitFor,
} from '@candlewire/testkit';
import { TIMINGS } from '../../services/ingestor/src/sources/alpaca/timings';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type MarketTime, marketTime } from './market-time';
import { hurryFills, type RunningIngestor, runScaled } from './scaled';
import { differenceFrom } from './truth';

const TEST_MS = 180_000;
/** A minute of the market passes in a second. */
const SPEED = 60;
const SYMBOLS = ['AAPL', 'MSFT'];
const OUTAGE_MS = 15 * MINUTE_MS;
const PAGE_BARS = 4;
const RETRY_AFTER_S = 120;
/** What happens to the first connections and requests after the outage. */
const RETURN: Readonly<Record<number, ConnectionFault>> = {
  1: { auth: 'silent' },
  2: { data: [{ afterBars: 0, do: 'terminate' }] },
  3: { subscribe: { code: 500, times: 1 }, data: [{ afterBars: 3, do: 'bad_bytes' }] },
};
const STUMBLES: Readonly<Record<number, RequestFault>> = {
  1: { status: 429, retryAfterS: RETRY_AFTER_S },
  3: { status: 500 },
  6: { drop: true },
  8: { status: 503 },
};
const calendar = loadCalendar('nyse');
const FROM = calendar.openTimeOf('1d', MONDAY_OPEN);
/** What the SDK waits for passes in real time. */
const timings = {
  ...TIMINGS,
  authMs: SPEED * TIMINGS.authMs,
  requestMs: SPEED * TIMINGS.requestMs,
  missedMs: SPEED * TIMINGS.missedMs,
  staleMs: SPEED * TIMINGS.staleMs,
};

describeWithRedis('an outage of Alpaca while its market goes on', () => {
  let pipeline: Pipeline;
  let time: MarketTime;
  let fake: FakeAlpaca;
  let running: RunningIngestor;
  let hurrying: Promise<void>;
  const stopping = new AbortController();

  beforeAll(async () => {
    pipeline = await createPipeline();
    time = marketTime(MONDAY_OPEN + HOUR_MS, SPEED);
    fake = await startFakeAlpaca({
      market: createAlpacaMarket({ symbols: SYMBOLS, chances: { corrected: 0, late: 0.3 } }),
      clock: time,
      plan: { sip: true },
    });
    pipeline.spawn('aggregator');
    running = runScaled({ pipeline, fake, time, timings, symbols: SYMBOLS, historyDays: 1, trades: true });
    hurrying = hurryFills(pipeline, time, stopping.signal);
  }, TEST_MS);

  afterAll(async () => {
    stopping.abort();
    await hurrying;
    await running.stop();
    await fake.close();
    await pipeline.close();
  });

  async function feed(): Promise<FeedStatus | null> {
    const text = await pipeline.bus.kept(pipeline.channels.feedStatus);
    return text === null ? null : FeedStatus.parse(JSON.parse(text));
  }

  const isLive = async () => ['live', 'backfilling'].includes((await feed())?.state ?? '');
  const becomesLive = () => waitFor(isLive, { timeoutMs: PATIENCE_MS, what: 'the feed is live' });
  const passes = (ms: number) => {
    const until = time.now() + ms;
    return waitFor(() => time.now() >= until, { timeoutMs: PATIENCE_MS });
  };

  /** All that ended by now is stored and final, as the market has it, in all intervals. */
  async function expectExact(): Promise<void> {
    const to = time.now() - (time.now() % MINUTE_MS);
    const truth = { market: fake.market, symbols: SYMBOLS, from: FROM, to, asOfMs: Number.POSITIVE_INFINITY };
    let difference = '';
    await waitFor(async () => (difference = await differenceFrom(pipeline, truth)) === '', {
      timeoutMs: PATIENCE_MS,
    }).catch(() => expect(difference).toBe(''));
  }

  test(
    'leaves the store as if it had never been, though the return fails again and again and history stumbles',
    async () => {
      await becomesLive();
      await passes(5 * MINUTE_MS);
      await expectExact();

      const refused = fake.connections.length;
      fake.setFaults({ connections: () => ({ upgrade: 503 }) });
      fake.drop('terminate');
      const cutAt = Date.now();
      const from = time.now();
      await waitFor(async () => (await feed())?.state === 'connecting', { timeoutMs: PATIENCE_MS });
      await passes(OUTAGE_MS);
      expect(await feed()).toMatchObject({ state: 'connecting', clock: null, reason: expect.stringContaining('503') });
      // Its minutes, and the one before it, have not turned final.
      for (const symbol of SYMBOLS) {
        const bounds = { from: from - MINUTE_MS + 1, to: time.now(), limit: 1_000 };
        const [candles] = await pipeline.store.answer([{ kind: 'candles', symbol, interval: '1m', ...bounds }]);
        expect((candles as Candle[]).filter(({ final }) => final)).toEqual([]);
      }
      // Its attempts double their distance up to half a minute.
      const tried = fake.connections.slice(refused).filter(({ openedAt }) => openedAt - cutAt < OUTAGE_MS / SPEED);
      expect(tried.length).toBeLessThan(OUTAGE_MS / 15_000 + 10);

      const attempts = fake.connections.length;
      const requests = fake.requests.length;
      fake.setFaults({
        connections: (number) => RETURN[number - attempts],
        requests: ({ number }) => STUMBLES[number - requests] ?? { shortPage: PAGE_BARS },
      });
      await waitFor(() => fake.connections.length >= attempts + 3, { timeoutMs: PATIENCE_MS });
      await becomesLive();
      await expectExact();
      const [limited, ...later] = fake.requests.slice(requests);
      expect(limited!.status).toBe(429);
      const tooSoon = later.filter((one) => one.marketTime < limited!.marketTime + 1_000 * RETRY_AFTER_S);
      // One may have been under way beside it.
      expect(tooSoon.length).toBeLessThanOrEqual(1);
      await waitFor(async () => (await feed())?.state === 'live', { timeoutMs: PATIENCE_MS, what: 'nothing to fill' });
      await passes(5 * MINUTE_MS);
      await expectExact();
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
