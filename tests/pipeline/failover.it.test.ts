import { type Bar, FeedStatus, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { describeWithRedis, type SpawnedService, waitFor } from '@candlewire/testkit';
import { createSimulatorSource } from '../../services/ingestor/src/sources/simulator-source';
import { systemTime } from '../../services/ingestor/src/time';
import { expectUndisturbed, playUndisturbed, SEED, SLOW, UNHURRIED, type Undisturbed } from './disturbed';
import { createPipeline, killed, logged, PATIENCE_MS, type Pipeline } from './harness';
import { startProxy, type TcpProxy } from './proxy';

const TEST_MS = 180_000;
/** What is promised of a leader that dies, with the lease as it is by default. */
const TAKEOVER_MS = 10_000;
const HANDOVER_MS = 2_000;
const SHORT_LEASE = { INGESTOR_LEASE_MS: '6000' };
const DEFAULT_LEASE = { INGESTOR_LEASE_MS: '9000' };
/** Something of an append is on its way. */
const ENTRY = '"bars":[{';

const STANDBY = 'standby: another ingestor leads';
const isLeader = (service: SpawnedService) => logged(service, 'leader');

describeWithRedis(`ingestors of which one leads (CANDLEWIRE_SEED=${SEED})`, () => {
  let pipeline: Pipeline;
  let proxy: TcpProxy | undefined;

  beforeEach(async () => {
    pipeline = await createPipeline();
  });

  afterEach(async () => {
    await pipeline.close();
    await proxy?.close();
    proxy = undefined;
  });

  const leads = (service: SpawnedService) => service.up(isLeader, PATIENCE_MS);
  const standsBy = (service: SpawnedService) => service.up((one) => logged(one, STANDBY), PATIENCE_MS);

  async function status(): Promise<FeedStatus | null> {
    const text = await pipeline.bus.kept(pipeline.channels.feedStatus);
    return text === null ? null : FeedStatus.parse(JSON.parse(text));
  }

  const barsAppended = () => pipeline.barsAppended();

  describe('with a simulator', () => {
    const SYMBOLS = ['AAPL', 'MSFT'];
    const simulator = { SOURCE: 'simulator', SIM_SEED: '7', SYMBOLS: SYMBOLS.join(','), HISTORY_DAYS: '1' };
    const calendar = loadCalendar('24x7');
    /** More than live bars come to. */
    const SOME_BARS = 100;
    const source = createSimulatorSource({ seed: 7, calendar, symbols: () => [], time: systemTime });

    const waiting = async (symbol: string) => (await pipeline.bus.journal.waiting(PARTITIONS))[partitionOf(symbol)]!;
    /** Whether the leader said so after a moment: what one that was killed said last still stands there. */
    const isLive = async (sinceMs = 0) => {
      const told = await status();
      return told !== null && Date.parse(told.updated_at) > sinceMs && ['live', 'backfilling'].includes(told.state);
    };

    /** Minutes of the range that the store lacks, or holds otherwise than the source. */
    async function differing(symbol: string, from: number, to: number): Promise<number> {
      const stored = new Map(
        (
          await pipeline.sql<{ ts: Date; close: number; volume: string }>(
            `select ts, close, volume from candles where symbol = $1 and interval = '1m'`,
            [symbol],
          )
        ).map(({ ts, close, volume }) => [ts.getTime(), `${close} ${volume}`]),
      );
      let count = 0;
      for await (const page of source.history!(symbol, from, to, new AbortController().signal)) {
        const bars = ('bars' in page ? page.bars : page) as readonly Bar[];
        for (const { openTime, close, volume } of bars) if (stored.get(openTime) !== `${close} ${volume}`) count++;
      }
      return count;
    }

    it(
      'the standby takes over from one that was killed within ten seconds, and leaves no hole of what it had begun',
      async () => {
        const env = { ...simulator, ...DEFAULT_LEASE };
        const first = pipeline.spawn('ingestor', env);
        await leads(first);
        const second = pipeline.spawn('ingestor', env);
        await standsBy(second);
        // Nobody consumes: none is known to be stored.
        await waitFor(async () => Math.max(...(await Promise.all(SYMBOLS.map(waiting)))) >= SOME_BARS, {
          timeoutMs: PATIENCE_MS,
          what: 'fills have begun',
        });
        expect(await isLive()).toBe(true);
        await killed(first);
        const [killedAt, deadMs] = [performance.now(), Date.now()];
        await leads(second);
        expect(performance.now() - killedAt).toBeLessThan(TAKEOVER_MS);
        pipeline.spawn('aggregator');
        await waitFor(() => isLive(deadMs), { timeoutMs: PATIENCE_MS, what: 'the source is live again' });
        const today = calendar.openTimeOf('1d', Date.now());
        const from = calendar.openTimeOf('1d', today - 1);
        // The newest two may still be waiting for their updates.
        const to = Date.now() - (Date.now() % MINUTE_MS) - 2 * MINUTE_MS;
        for (const symbol of SYMBOLS) {
          await waitFor(async () => (await differing(symbol, from, to)) === 0, {
            timeoutMs: PATIENCE_MS,
            what: `every minute of ${symbol} is stored`,
          });
        }
      },
      TEST_MS,
    );

    it(
      'one that is told to stop hands over within two seconds',
      async () => {
        const env = { ...simulator, ...DEFAULT_LEASE, HISTORY_DAYS: '0' };
        pipeline.spawn('aggregator');
        const first = pipeline.spawn('ingestor', env);
        await leads(first);
        const second = pipeline.spawn('ingestor', env);
        await standsBy(second);
        await waitFor(() => isLive(), { timeoutMs: PATIENCE_MS, what: 'the source is live' });
        const toldAt = performance.now();
        first.kill('SIGTERM');
        await leads(second);
        expect(performance.now() - toldAt).toBeLessThan(HANDOVER_MS);
        expect((await first.exited).code).toBe(0);
        await waitFor(() => isLive(), { timeoutMs: PATIENCE_MS, what: 'the source is live again' });
        expect(logged(first, 'no longer leader')).toBe(false);
        expect(pipeline.errors()).toEqual([]);
      },
      TEST_MS,
    );
  });

  describe('with a replay', () => {
    let undisturbed: Undisturbed;

    beforeAll(async () => {
      undisturbed = await playUndisturbed();
    }, TEST_MS);

    afterAll(() => undisturbed?.log.remove());

    it(
      'one that was paused, and wakes up with an append on its way, writes nothing',
      async () => {
        const { file, deliveries } = undisturbed.log;
        const follower = await pipeline.follow();
        pipeline.spawn('aggregator');
        const redis = await startProxy(pipeline.redisUrl);
        proxy = redis;
        const env = { ...SLOW, ...SHORT_LEASE, REDIS_URL: redis.through(pipeline.redisUrl) };
        const first = pipeline.replay(file, env);
        await leads(first);
        // It keeps the lead, also on a busy machine.
        const second = pipeline.replay(file, { ...UNHURRIED, ...DEFAULT_LEASE });
        await standsBy(second);
        await waitFor(async () => (await barsAppended()) > 100, { timeoutMs: PATIENCE_MS, what: 'bars were appended' });

        redis.holdFrom((chunk) => chunk.includes(ENTRY));
        await waitFor(() => redis.held > 0, { timeoutMs: PATIENCE_MS, what: 'an append is on its way' });
        first.kill('SIGSTOP');
        const before = await barsAppended();
        expect(before).toBeLessThan(deliveries);
        await leads(second);
        await redis.release();
        first.kill('SIGCONT');
        await waitFor(() => logged(first, 'no longer leader'), { timeoutMs: PATIENCE_MS, what: 'the loss is noticed' });
        await standsBy(first);

        await waitFor(() => pipeline.isPlayed(deliveries), { timeoutMs: PATIENCE_MS, what: 'the replay is finished' });
        // The successor's bars, each of them once, and not one more.
        expect(await barsAppended()).toBe(before + deliveries);
        expect(logged(second, 'no longer leader')).toBe(false);
        expect(await first.stop()).toBe(0);
        expect(await second.stop()).toBe(0);
        await expectUndisturbed(pipeline, follower, undisturbed);
      },
      TEST_MS,
    );

    it(
      'one is killed in the middle, and the same candles come out',
      async () => {
        const { file, deliveries } = undisturbed.log;
        const follower = await pipeline.follow();
        pipeline.spawn('aggregator');
        const leader = pipeline.replay(file, SLOW);
        await leads(leader);
        const standby = pipeline.replay(file, UNHURRIED);
        await standsBy(standby);
        await waitFor(async () => (await barsAppended()) > 100, { timeoutMs: PATIENCE_MS, what: 'bars were appended' });
        await killed(leader);
        expect(await barsAppended()).toBeLessThan(deliveries);
        await pipeline.played(standby, deliveries);
        await expectUndisturbed(pipeline, follower, undisturbed);
      },
      TEST_MS,
    );
  });
});
