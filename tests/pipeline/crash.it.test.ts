import { type Bar, DAY_MS, encodeEntry, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { bar, describeWithRedis, waitFor } from '@candlewire/testkit';
import { expectUndisturbed, playUndisturbed, SEED, SLOW, seeded, UNHURRIED, type Undisturbed } from './disturbed';
import type { Follower } from './follower';
import { createPipeline, killed, logged, PATIENCE_MS, type Pipeline } from './harness';
import { headsOf } from './heads';
import { startProxy, type TcpProxy } from './proxy';

const TEST_MS = 180_000;
const KILLS = 4;
/** A lease and a beat, and time to spare on a busy machine. */
const TAKEOVER_MS = 10_000;

describeWithRedis(`aggregators that are killed or stopped (CANDLEWIRE_SEED=${SEED})`, () => {
  let undisturbed: Undisturbed;
  let pipeline: Pipeline;
  let proxies: TcpProxy[];

  beforeAll(async () => {
    undisturbed = await playUndisturbed();
  }, TEST_MS);

  afterAll(() => undisturbed?.log.remove());

  beforeEach(async () => {
    proxies = [];
    pipeline = await createPipeline();
  });

  afterEach(async () => {
    await pipeline.close();
    for (const proxy of proxies) await proxy.close();
  });

  async function proxyTo(url: string): Promise<TcpProxy> {
    const proxy = await startProxy(url);
    proxies.push(proxy);
    return proxy;
  }

  /** How many changes are stored of which the follower has not heard. */
  async function outstanding(follower: Follower): Promise<number> {
    const heads = await headsOf(pipeline.store);
    await follower.sync();
    const missing = heads.map(({ symbol, interval, seq }) => Math.max(0, seq - follower.lastOf(symbol, interval)));
    return missing.reduce((sum, count) => sum + count, 0);
  }

  /** Partitions of each living owner, in descending number. */
  async function shares(): Promise<number[]> {
    const rows = await pipeline.sql<{ count: number }>(`
      select count(*)::int as count from partitions
      where owner is not null and lease_until > clock_timestamp() group by owner order by 1 desc`);
    return rows.map(({ count }) => count);
  }

  /** Of all partitions: each owner raises it. */
  async function fences(): Promise<number[]> {
    const rows = await pipeline.sql<{ fence: string }>('select fence from partitions order by p');
    return rows.map(({ fence }) => Number(fence));
  }

  it(
    'store and publish the same when they are killed again and again',
    async () => {
      const point = seeded('kills');
      const follower = await pipeline.follow();
      const { file, deliveries } = undisturbed.log;
      let aggregator = pipeline.spawn('aggregator');
      const ingestor = pipeline.replay(file, SLOW);
      for (let kill = 0; kill < KILLS; kill++) {
        await pipeline.moreCommits(point(1, 8));
        await killed(aggregator);
        await pipeline.endLeases();
        aggregator = pipeline.spawn('aggregator');
      }
      // The rest may come faster.
      await ingestor.stop();
      await pipeline.played(pipeline.replay(file), deliveries);
      await expectUndisturbed(pipeline, follower, undisturbed);
    },
    TEST_MS,
  );

  it(
    'publish what a predecessor committed and was killed before publishing',
    async () => {
      const follower = await pipeline.follow();
      const redis = await proxyTo(pipeline.redisUrl);
      const aggregator = pipeline.spawn('aggregator', { REDIS_URL: redis.through(pipeline.redisUrl) });
      // Counted on their way: the replay does not wait for whoever looks at the store.
      let left = seeded('publish')(3, 40);
      redis.holdFrom((chunk) => chunk.includes(`${pipeline.prefix}:candles:`) && --left < 0);
      const ingestor = pipeline.replay(undisturbed.log.file, UNHURRIED);
      await waitFor(async () => redis.held > 0 && (await outstanding(follower)) > 0, { timeoutMs: PATIENCE_MS });
      await killed(aggregator);
      expect(await outstanding(follower)).toBeGreaterThan(0);

      // The ingestor goes the same way, so that the next owner finds nothing but what is outstanding and in the journal.
      await killed(ingestor);
      pipeline.spawn('aggregator');
      await waitFor(async () => (await outstanding(follower)) === 0, { timeoutMs: PATIENCE_MS });
      await pipeline.played(pipeline.replay(undisturbed.log.file), undisturbed.log.deliveries);
      await expectUndisturbed(pipeline, follower, undisturbed);
    },
    TEST_MS,
  );

  it(
    'write nothing when they come back after another has taken over',
    async () => {
      const follower = await pipeline.follow();
      const postgres = await proxyTo(pipeline.databaseUrl);
      const { file, deliveries } = undisturbed.log;
      const stale = pipeline.spawn('aggregator', { DATABASE_URL: postgres.through(pipeline.databaseUrl) });
      // A prepared statement is called by its name: the batch is computed, and Postgres has not heard of it.
      let left = seeded('stop')(3, 40);
      postgres.holdFrom((chunk) => chunk.includes('\0commit\0') && --left < 0);
      const ingestor = pipeline.replay(file, SLOW);
      await waitFor(() => postgres.held > 0, { timeoutMs: PATIENCE_MS });
      stale.kill('SIGSTOP');
      const before = await fences();
      const other = pipeline.spawn('aggregator');
      await other.up(() => logged(other, 'partitions taken over'), PATIENCE_MS);
      // All of them: some leases run out before the others, and what is held back may be of any partition.
      const areTaken = async () => (await fences()).every((fence, p) => fence > before[p]!);
      await waitFor(areTaken, { timeoutMs: PATIENCE_MS, what: 'every partition is taken over' });
      // The replay goes on: there is something to commit for long after that.
      await pipeline.moreCommits(1);

      // It finds the answer when it wakes up, before it can ask for anything else.
      await postgres.release();
      stale.kill('SIGCONT');
      // Told by the commit itself: the heartbeat that notices the same thing names the fence.
      const isFenced = () => logged(stale, 'partition lost to another owner', ({ fence }) => fence === undefined);
      await waitFor(isFenced, { timeoutMs: PATIENCE_MS, what: 'the stale owner is refused' });
      // The rest may come faster.
      await ingestor.stop();
      await pipeline.played(pipeline.replay(file), deliveries);
      await expectUndisturbed(pipeline, follower, undisturbed);
    },
    TEST_MS,
  );

  it(
    'tell only what was told already when they come back after another has published their commit',
    async () => {
      const follower = await pipeline.follow();
      const redis = await proxyTo(pipeline.redisUrl);
      const stale = pipeline.spawn('aggregator', { REDIS_URL: redis.through(pipeline.redisUrl) });
      let left = seeded('stale')(3, 40);
      redis.holdFrom((chunk) => chunk.includes(`${pipeline.prefix}:candles:`) && --left < 0);
      const ingestor = pipeline.replay(undisturbed.log.file, UNHURRIED);
      await waitFor(async () => redis.held > 0 && (await outstanding(follower)) > 0, { timeoutMs: PATIENCE_MS });
      stale.kill('SIGSTOP');
      await pipeline.endLeases();
      pipeline.spawn('aggregator');
      await pipeline.played(ingestor, undisturbed.log.deliveries);
      await pipeline.consumed();

      const { repeats } = follower;
      await redis.release();
      stale.kill('SIGCONT');
      await waitFor(() => follower.repeats > repeats, { timeoutMs: PATIENCE_MS, what: 'the stale owner publishes' });
      await waitFor(() => logged(stale, 'partition lost to another owner'), { timeoutMs: PATIENCE_MS });
      await expectUndisturbed(pipeline, follower, undisturbed);
    },
    TEST_MS,
  );

  it(
    'make final what the clock alone moves, also for a predecessor',
    async () => {
      const { bus, store } = pipeline;
      await store.declare({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
      const one = bar();
      const partition = partitionOf(one.symbol);
      const append = async (clock: number, bars: Bar[]) => {
        const known = (await bus.journal.open(PARTITIONS))[partition]!;
        const text = encodeEntry({ clock, bars });
        await bus.journal.append(null, [{ partition, known, text, bars: bars.length }]);
      };
      const finals = async () => {
        const rows = await pipeline.sql<{ final: boolean }>('select final from candles where symbol = $1', [
          one.symbol,
        ]);
        return rows.map(({ final }) => final);
      };
      const aggregator = pipeline.spawn('aggregator');
      await append(one.openTime + MINUTE_MS, [one]);
      await pipeline.consumed();
      expect(await finals()).toEqual([false, false, false, false]);
      await killed(aggregator);
      await pipeline.endLeases();
      pipeline.spawn('aggregator');
      await append(one.openTime + DAY_MS, []);
      await waitFor(async () => `${await finals()}` === 'true,true,true,true', { timeoutMs: PATIENCE_MS });
    },
    TEST_MS,
  );

  it(
    'share the partitions, and take those of one that dies',
    async () => {
      const follower = await pipeline.follow();
      const { file, deliveries } = undisturbed.log;
      await pipeline.store.declare({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
      const aggregators = [pipeline.spawn('aggregator'), pipeline.spawn('aggregator')];
      const half = PARTITIONS / 2;
      await waitFor(async () => `${await shares()}` === `${[half, half]}`, { timeoutMs: PATIENCE_MS });
      const ingestor = pipeline.replay(file, SLOW);

      await pipeline.moreCommits(seeded('share')(3, 40));
      await killed(aggregators[seeded('which')(0, 1)]!);
      await waitFor(async () => `${await shares()}` === `${PARTITIONS}`, { timeoutMs: TAKEOVER_MS });
      // The rest may come faster.
      await ingestor.stop();
      await pipeline.played(pipeline.replay(file), deliveries);
      await expectUndisturbed(pipeline, follower, undisturbed);
    },
    TEST_MS,
  );
});
