import { AllGapsResponse, BackfillResponse, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar, runPhases, silentLogger } from '@candlewire/runtime';
import {
  createAlpacaMarket,
  describeWithRedis,
  type FakeAlpaca,
  MONDAY_OPEN,
  type SpawnedService,
  startFakeAlpaca,
  waitFor,
} from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { createGateway, type Gateway } from '../../services/gateway/src/gateway';
import { SETTLE_AFTER_MS } from '../../services/ingestor/src/fill/plan';
import { TIMINGS, type Timings } from '../../services/ingestor/src/sources/alpaca/timings';
import { SEED, seeded } from '../pipeline/disturbed';
import { createPipeline, expectDense, killed, type Pipeline } from '../pipeline/harness';
import { type MarketTime, marketTime } from './market-time';
import { randomFaults } from './random-faults';
import { hurryFills, type RunningIngestor, runScaled } from './scaled';
import { differenceFrom, wrongMinutes } from './truth';

const TEST_MS = 300_000;
const SYMBOLS = ['AAPL', 'BRK.B', 'MSFT'];
const calendar = loadCalendar('nyse');
const MONDAY = calendar.openTimeOf('1d', MONDAY_OPEN);
const SATURDAY = MONDAY + 5 * 24 * HOUR_MS;
const HISTORY_DAYS = 3;
/** With the days of its history; on the Sunday before them the clocks were put back. */
const WEEK = { symbols: SYMBOLS, from: calendar.openTimeOf('1d', MONDAY - HISTORY_DAYS * 24 * HOUR_MS), to: SATURDAY };
const THURSDAY = calendar.openTimeOf('1d', MONDAY + 3.5 * 24 * HOUR_MS);
/** Shortly before pre begins. */
const WAKE_HOUR = 3.9;
const WATCHED_HOUR = 15;
const PATIENCE_MS = 60_000;

/** A minute of the regular session passes in 12 ms, one of pre and post in 4 ms. */
const REGULAR_SPEED = 5_000;
const THIN_SPEED = 15_000;
const WATCHED_SPEED = 600;
const LEASE_MS = 1_500;
const INGESTORS = 2;
const GHOST_MS = 100;
const AUTH_TIMEOUT_MS = 300;
const inRegular = (wallMs: number) => wallMs * REGULAR_SPEED;

/** Waiting is as long as the machine needs it to be, the rest is to scale. */
const timings: Timings = {
  ...TIMINGS,
  handshakeMs: 400,
  closeMs: 100,
  pingMs: 200,
  pongMs: 200,
  authMs: inRegular(400),
  requestMs: inRegular(400),
  retryFirstMs: inRegular(10),
  retryMaxMs: inRegular(200),
  stableMs: inRegular(200),
  limitMs: inRegular(1.2 * GHOST_MS),
  refusedFirstMs: inRegular(100),
  refusedMaxMs: inRegular(300),
  symbolMs: inRegular(100),
  staleMs: inRegular(300),
  missedMs: inRegular(300),
  lateMs: 40_000,
};

describeWithRedis(`a week of the market (CANDLEWIRE_SEED=${SEED})`, () => {
  const market = createAlpacaMarket({
    seed: SEED,
    symbols: SYMBOLS,
    chances: { thin: 0.7, late: 0.2, corrected: 0.01 },
  });
  const dice = seeded('week');
  const faultDice = seeded('faults');
  const stopping = new AbortController();
  let time: MarketTime;
  let pipeline: Pipeline;
  let fake: FakeAlpaca;
  let gateway: Gateway;
  let origin: string;
  let aggregator: SpawnedService;
  let hurrying: Promise<void>;
  const ingestors: RunningIngestor[] = [];

  beforeAll(async () => {
    pipeline = await createPipeline();
    time = marketTime(MONDAY + WAKE_HOUR * HOUR_MS, THIN_SPEED);
    fake = await startFakeAlpaca({ market, clock: time, ghostMs: GHOST_MS, authTimeoutMs: AUTH_TIMEOUT_MS });
    gateway = createGateway({
      ...pipeline,
      calendars: { nyse: calendar, '24x7': loadCalendar('24x7') },
      corsOrigins: '*',
      logger: silentLogger,
      now: time.now,
    });
    origin = `http://127.0.0.1:${await gateway.start(0, '127.0.0.1')}`;
    aggregator = pipeline.spawn('aggregator');
    hurrying = hurryFills(pipeline, time, stopping.signal);
    for (let n = 0; n < INGESTORS; n++) ingest();
  }, TEST_MS);

  afterAll(async () => {
    stopping.abort();
    await Promise.all(ingestors.map((one) => one.stop()));
    await hurrying;
    await runPhases(gateway.shutdown, silentLogger);
    await fake.close();
    await pipeline.close();
  });

  function ingest(): void {
    const options = {
      pipeline,
      fake,
      time,
      timings,
      symbols: SYMBOLS,
      historyDays: HISTORY_DAYS,
      trades: false,
      leaseMs: LEASE_MS,
    };
    ingestors.push(runScaled(options));
  }

  /** Lets the market go on to a moment; at night it is there at once. */
  async function until(ms: number): Promise<void> {
    while (time.now() < ms) {
      const status = calendar.statusOf(time.now());
      time.runAt(status === 'regular' ? REGULAR_SPEED : THIN_SPEED);
      await time.pause(5 * MINUTE_MS);
    }
  }

  const disturbances: Readonly<Record<string, () => Promise<void>>> = {
    async 'the leader stops'() {
      const at = Math.max(
        0,
        ingestors.findIndex(({ ingestor }) => ingestor.standing().leads),
      );
      const [leader] = ingestors.splice(at, 1);
      await leader!.stop();
      ingest();
    },
    async 'the aggregator is killed'() {
      await killed(aggregator);
      aggregator = pipeline.spawn('aggregator');
    },
    async 'the aggregator stops'() {
      await aggregator.stop();
      aggregator = pipeline.spawn('aggregator');
    },
    async 'every connection is cut'() {
      fake.drop('terminate');
    },
    async 'nobody ingests for an hour'() {
      await Promise.all(ingestors.splice(0).map((one) => one.stop()));
      await until(time.now() + HOUR_MS);
      for (let n = 0; n < INGESTORS; n++) ingest();
    },
    async 'Redis is emptied'() {
      const redis = new Redis(pipeline.redisUrl);
      await redis.eval(
        `for _, key in ipairs(redis.call('keys', ARGV[1])) do redis.call('del', key) end`,
        0,
        `${pipeline.prefix}*`,
      );
      await redis.quit();
    },
    async 'a symbol goes and comes back'() {
      const symbol = SYMBOLS[dice(0, SYMBOLS.length - 1)]!;
      const gone = await fetch(`${origin}/api/symbols/${symbol}`, { method: 'DELETE' });
      expect(gone.status).toBe(204);
      await until(time.now() + dice(1, 90) * MINUTE_MS);
      const back = await fetch(`${origin}/api/symbols`, { method: 'POST', body: JSON.stringify({ symbol }) });
      expect(back.ok).toBe(true);
    },
    async 'all is well'() {},
  };

  const gaps = async () => AllGapsResponse.parse(await (await fetch(`${origin}/api/gaps`)).json());

  /** Waits until nothing is told; what is told last is what the test fails with. */
  async function becomes<T>(expected: T, tell: () => Promise<T>): Promise<void> {
    let told: T | undefined;
    const isSo = async () => JSON.stringify((told = await tell())) === JSON.stringify(expected);
    await waitFor(isSo, { timeoutMs: PATIENCE_MS }).catch(() => expect(told).toEqual(expected));
  }

  /** In the middle of a day: what has been so far is there, as history has it at that time, or corrected since then. */
  async function expectTheDaySoFar(): Promise<void> {
    time.runAt(WATCHED_SPEED);
    fake.setFaults({});
    fake.drop('close');
    const now = time.now();
    const from = calendar.openTimeOf('1d', now);
    const to = now - (now % MINUTE_MS) - 2 * MINUTE_MS;
    const allowed = (symbol: string, openTime: number) =>
      [now, time.now()].map((asOfMs) => market.asOf(symbol, openTime, asOfMs));
    await becomes([], () => wrongMinutes(pipeline, { symbols: SYMBOLS, from, to }, allowed));
    await becomes({ symbols: [], truncated: false }, gaps);
  }

  /** After a week: of each minute what history said when its day was settled, or says now. */
  const settledMinutes = () =>
    wrongMinutes(pipeline, WEEK, (symbol, openTime) => {
      const close = calendar.closeTimeOf('1d', calendar.openTimeOf('1d', openTime));
      return [market.asOf(symbol, openTime, close + SETTLE_AFTER_MS), market.settled(symbol, openTime)];
    });

  /** What was corrected later than its day was settled is fetched where somebody asks for it. */
  async function backfill(): Promise<void> {
    const asked = { symbols: SYMBOLS, start: new Date(WEEK.from).toISOString(), end: new Date(WEEK.to).toISOString() };
    const response = await fetch(`${origin}/api/backfills`, { method: 'POST', body: JSON.stringify(asked) });
    const { id } = BackfillResponse.parse(await response.json());
    const state = async () => BackfillResponse.parse(await (await fetch(`${origin}/api/backfills/${id}`)).json()).state;
    await becomes('done', state);
  }

  test(
    'in which everything goes wrong that can leaves what history says, day by day and in the end',
    async () => {
      const names = Object.keys(disturbances);
      time.runAt(WATCHED_SPEED);
      await waitFor(() => fake.live.length > 0, { timeoutMs: PATIENCE_MS, what: 'the first connection' });
      for (let day = MONDAY; day < SATURDAY; day = calendar.nextDay(day)) {
        const isBad = day >= THURSDAY;
        fake.setFaults(randomFaults(faultDice, isBad));
        for (let hour = 6; hour <= 20; hour += 3) {
          await until(day + hour * HOUR_MS);
          await disturbances[names[dice(0, names.length - 1)]!]!();
          if (hour === WATCHED_HOUR && !isBad) {
            await expectTheDaySoFar();
            fake.setFaults(randomFaults(faultDice, isBad));
            fake.drop('close');
          }
        }
        await until(day + 21 * HOUR_MS);
        time.leapTo(calendar.nextDay(day) + WAKE_HOUR * HOUR_MS);
      }
      time.runAt(WATCHED_SPEED);
      await becomes({ symbols: [], truncated: false }, gaps);
      await becomes([], settledMinutes);
      fake.setFaults({});
      await backfill();
      const truth = { market, ...WEEK, asOfMs: Number.POSITIVE_INFINITY };
      await becomes('', () => differenceFrom(pipeline, truth));
      await becomes({ symbols: [], truncated: false }, gaps);
      await pipeline.consumed();
      await expectDense(pipeline);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
