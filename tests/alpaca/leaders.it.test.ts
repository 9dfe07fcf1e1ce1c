import { join } from 'node:path';
import { HOUR_MS, MINUTE_MS, ReadyResponse } from '@candlewire/contracts';
import { loadCalendar, runPhases, silentLogger } from '@candlewire/runtime';
import {
  createAlpacaMarket,
  describeWithRedis,
  FAKE_KEY,
  FAKE_SECRET,
  type FakeAlpaca,
  MONDAY_OPEN,
  type SpawnedService,
  spawnProgram,
  startFakeAlpaca,
  waitFor,
} from '@candlewire/testkit';
import { createGateway, type Gateway } from '../../services/gateway/src/gateway';
import { TIMINGS } from '../../services/ingestor/src/sources/alpaca/timings';
import { createPipeline, killed, logged, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type MarketTime, marketTime } from './market-time';
import { hurryFills } from './scaled';
import { differenceFrom, wrongMinutes } from './truth';

const TEST_MS = 180_000;
/** A minute of the market passes in two seconds. */
const SPEED = 30;
const SYMBOLS = ['AAPL', 'MSFT'];
const LEASE_MS = 9_000;
/** Shorter than what is left of a lease, two thirds at least: whoever waited for its end finds the place free. */
const GHOST_MS = 2_000;
const PAUSED_MS = 20_000;
const HANDOVER_MS = 2_000;
const calendar = loadCalendar('nyse');
const FROM = calendar.openTimeOf('1d', MONDAY_OPEN);
/** What the SDK waits for passes in real time; nobody is given up because this process, which is the server, had no turn. */
const timings = {
  ...TIMINGS,
  handshakeMs: PATIENCE_MS,
  pongMs: PATIENCE_MS,
  authMs: SPEED * TIMINGS.authMs,
  requestMs: SPEED * TIMINGS.requestMs,
  missedMs: SPEED * TIMINGS.missedMs,
  staleMs: SPEED * TIMINGS.staleMs,
};
const LIMIT_WALL_MS = TIMINGS.limitMs / SPEED;

describeWithRedis('two ingestors for the one connection of an account', () => {
  let pipeline: Pipeline;
  let fake: FakeAlpaca;
  let time: MarketTime;
  let gateway: Gateway;
  let origin: string;
  let env: Readonly<Record<string, string>>;
  let stopping: AbortController;
  let hurrying: Promise<void>;
  const processes: SpawnedService[] = [];

  beforeEach(async () => {
    pipeline = await createPipeline();
    const begin = { market: MONDAY_OPEN + HOUR_MS, wall: Date.now() };
    time = marketTime(begin.market, SPEED);
    fake = await startFakeAlpaca({
      market: createAlpacaMarket({ symbols: SYMBOLS, chances: { corrected: 0, late: 0.3 } }),
      clock: time,
      plan: { sip: true },
      ghostMs: GHOST_MS,
    });
    env = {
      DATABASE_URL: pipeline.databaseUrl,
      REDIS_URL: pipeline.redisUrl,
      REDIS_PREFIX: pipeline.prefix,
      SYMBOLS: SYMBOLS.join(),
      INGESTOR_LEASE_MS: String(LEASE_MS),
      SPEED: String(SPEED),
      MARKET_MS: String(begin.market),
      WALL_MS: String(begin.wall),
      TIMINGS: JSON.stringify(timings),
      SETTINGS: JSON.stringify({
        keyId: FAKE_KEY,
        secret: FAKE_SECRET,
        feed: 'iex',
        streamUrl: fake.streamUrl(),
        dataUrl: fake.origin,
        symbolsMax: 30,
        trades: false,
      }),
    };
    const calendars = { nyse: calendar, '24x7': loadCalendar('24x7') };
    gateway = createGateway({ ...pipeline, calendars, corsOrigins: '*', logger: silentLogger, now: time.now });
    origin = `http://127.0.0.1:${await gateway.start(0, '127.0.0.1')}`;
    stopping = new AbortController();
    hurrying = hurryFills(pipeline, time, stopping.signal);
    pipeline.spawn('aggregator');
  });

  afterEach(async () => {
    stopping.abort();
    await hurrying;
    for (const one of processes) one.kill('SIGKILL');
    await Promise.all(processes.splice(0).map(({ exited }) => exited));
    await runPhases(gateway.shutdown, silentLogger);
    await fake.close();
    await pipeline.close();
  });

  function spawnIngestor(): SpawnedService {
    const service = spawnProgram('ingestor', join(__dirname, 'scaled-ingestor.cjs'), env);
    processes.push(service);
    return service;
  }

  const says = (service: SpawnedService, event: string) => service.up((one) => logged(one, event), PATIENCE_MS);

  /** The leader, and one that stands by. */
  async function two(): Promise<[leader: SpawnedService, standby: SpawnedService]> {
    const leader = spawnIngestor();
    await says(leader, 'stream is live');
    const standby = spawnIngestor();
    await says(standby, 'standby: another ingestor leads');
    await readiness(true);
    return [leader, standby];
  }

  const ask = async () => ReadyResponse.parse(await (await fetch(`${origin}/ready`)).json());

  async function readiness(isReady: boolean): Promise<void> {
    const what = isReady ? 'ready' : 'not ready';
    await waitFor(async () => ((await ask()).status === 'ready') === isReady, { timeoutMs: PATIENCE_MS, what });
  }

  /** What is said of the feed once it is what keeps the gateway from being ready, and not a server that answered too late. */
  async function failingFeed() {
    const isFailing = async () => {
      const { status, checks } = await ask();
      return status !== 'ready' && !checks.feed.ok && checks.feed;
    };
    return waitFor(isFailing, { timeoutMs: PATIENCE_MS, what: 'not ready for the feed' });
  }

  const refusals = () => fake.connections.flatMap(({ auths }) => auths.filter(({ refused }) => refused === 406)).length;

  /** Everything up to the moment of the call is stored and final, and nothing else. */
  async function expectExact(): Promise<void> {
    const to = time.now() - (time.now() % (5 * MINUTE_MS));
    const truth = { market: fake.market, symbols: SYMBOLS, from: FROM, to, asOfMs: Number.POSITIVE_INFINITY };
    const minutes = () => wrongMinutes(pipeline, truth, (symbol, at) => [fake.market.settled(symbol, at)]);
    await waitFor(async () => (await minutes()).length === 0, { timeoutMs: PATIENCE_MS, what: 'all minutes' }).catch(
      async () => expect(await minutes()).toEqual([]),
    );
    await waitFor(async () => (await differenceFrom(pipeline, truth)) === '', { timeoutMs: PATIENCE_MS }).catch(
      async () => expect(await differenceFrom(pipeline, truth)).toBe(''),
    );
    expect(pipeline.errors()).toEqual([]);
  }

  test(
    'after kill -9 of the leader the other one leads by the lease, finds the place free, and nothing is missing',
    async () => {
      const [leader, standby] = await two();
      await killed(leader);
      expect(await failingFeed()).toMatchObject({ state: 'connecting' });
      await says(standby, 'stream is live');
      await readiness(true);
      await expectExact();
      expect(fake.connections.length).toBe(2);
      expect(refusals()).toBe(0);
    },
    TEST_MS,
  );

  test(
    'a leader that was paused and wakes up writes nothing, gives back the place, and the other one did not storm the server for it',
    async () => {
      const [leader, standby] = await two();
      const published: number[] = [];
      for (const symbol of SYMBOLS) {
        await pipeline.bus.subscribe(pipeline.channels.bars(symbol), (text) => {
          published.push(Date.parse((JSON.parse(text) as { timestamp: string }).timestamp));
        });
      }
      await waitFor(() => published.length > 0, { timeoutMs: PATIENCE_MS, what: 'live bars' });
      leader.kill('SIGSTOP');
      const stoppedAt = time.now();
      await says(standby, 'leader');
      await readiness(false);
      await waitFor(() => refusals() > 0, { timeoutMs: PATIENCE_MS, what: 'a refusal' });
      await waitFor(async () => (await fetch(`${origin}/ready`)).status === 503);
      await waitFor(() => time.now() - stoppedAt > PAUSED_MS * SPEED, { timeoutMs: 2 * PAUSED_MS });
      expect((await ask()).checks.feed).toMatchObject({ state: 'connecting' });
      const continuedAt = time.now();
      leader.kill('SIGCONT');
      await says(leader, 'no longer leader');
      await says(standby, 'stream is live');
      await readiness(true);
      await expectExact();
      const ofThePause = published.filter((at) => at > stoppedAt && at < continuedAt - MINUTE_MS);
      expect(ofThePause).toEqual([]);
      expect(refusals()).toBeLessThanOrEqual(Math.ceil(PAUSED_MS / LIMIT_WALL_MS) + 1);
      expect(fake.connections.length).toBe(2 + refusals());
      expect(logged(standby, 'no longer leader')).toBe(false);
    },
    TEST_MS,
  );

  test(
    'a leader that is told to stop gives back the place first, and the other one has it at once',
    async () => {
      const [leader, standby] = await two();
      const toldAt = performance.now();
      leader.kill('SIGTERM');
      await says(standby, 'stream is live');
      expect(performance.now() - toldAt).toBeLessThan(HANDOVER_MS);
      expect((await leader.exited).code).toBe(0);
      // With a close frame: the server knows.
      await waitFor(() => fake.connections[0]!.closeCode !== null, { what: 'the server sees the end' });
      expect(fake.connections[0]!.closeCode).not.toBe(1006);
      await readiness(true);
      await expectExact();
      expect(fake.connections.length).toBe(2);
      expect(refusals()).toBe(0);
    },
    TEST_MS,
  );
});
