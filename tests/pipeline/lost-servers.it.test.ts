import { randomBytes } from 'node:crypto';
import { PARTITIONS } from '@candlewire/contracts';
import {
  describeWithRedis,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { expectUndisturbed, playUndisturbed, SEED, SLOW, seeded, UNHURRIED, type Undisturbed } from './disturbed';
import { createPipeline, logged, PATIENCE_MS, type Pipeline } from './harness';
import { type MortalServer, startMortalPostgres, startMortalRedis } from './servers';

const TEST_MS = 180_000;
const KILLS = 2;

describeWithRedis(`servers that are lost (CANDLEWIRE_SEED=${SEED})`, () => {
  let undisturbed: Undisturbed;
  let pipeline: Pipeline | undefined;

  beforeAll(async () => {
    undisturbed = await playUndisturbed();
  }, TEST_MS);

  afterAll(() => undisturbed?.log.remove());

  afterEach(async () => {
    await pipeline?.close();
    pipeline = undefined;
  });

  describe('Postgres', () => {
    let postgres: MortalServer;
    let redis: TestRedis;

    beforeAll(async () => {
      postgres = await startMortalPostgres();
      redis = (await testRedis())!;
    }, TEST_MS);

    afterAll(async () => {
      await redis?.close();
      await postgres?.stop();
    });

    it(
      'is killed under load, and nothing is lost or counted twice',
      async () => {
        const point = seeded('postgres');
        const { file, deliveries } = undisturbed.log;
        pipeline = await createPipeline({ databaseUrl: postgres.url, redisUrl: redis.url, prefix: redis.prefix });
        const follower = await pipeline.follow();
        pipeline.spawn('aggregator');
        const ingestor = pipeline.replay(file, SLOW);
        for (let kill = 0; kill < KILLS; kill++) {
          await pipeline.moreCommits(point(2, 12));
          await postgres.kill();
        }
        // Both have to find it again; then the rest may come faster.
        await pipeline.moreCommits(1);
        await ingestor.stop();
        await pipeline.played(pipeline.replay(file), deliveries);
        await expectUndisturbed(pipeline, follower, undisturbed);
      },
      TEST_MS,
    );
  });

  describe('Redis', () => {
    let database: TestDatabase;
    let redis: MortalServer | string;

    beforeEach(async () => {
      database = await testDatabase();
      redis = await startMortalRedis();
    }, TEST_MS);

    afterEach(async () => {
      await pipeline?.close();
      pipeline = undefined;
      if (typeof redis !== 'string') await redis.stop();
      await database.drop();
    });

    async function lose(lost: (server: MortalServer) => Promise<unknown>, outage: boolean): Promise<void> {
      if (typeof redis === 'string') return skipped(redis);
      const { file, deliveries } = undisturbed.log;
      const prefix = `test:${randomBytes(4).toString('hex')}`;
      pipeline = await createPipeline({ databaseUrl: database.url, redisUrl: redis.url, prefix });
      const { bus, commits } = pipeline;
      const follower = await pipeline.follow();
      pipeline.spawn('aggregator');
      const ingestor = pipeline.replay(file, UNHURRIED);
      // Counted from the first one: the replay does not wait for whoever looks at the store.
      const enough = seeded('redis')(5, 30);
      await waitFor(async () => (await commits()) >= enough, { timeoutMs: PATIENCE_MS, what: `${enough} commits` });
      const before = await bus.journal.open(PARTITIONS);
      await lost(redis);
      await waitFor(() => logged(ingestor, 'the journal is another one: starting again'), { timeoutMs: PATIENCE_MS });
      await pipeline.played(ingestor, deliveries);
      const after = await bus.journal.open(PARTITIONS);
      expect(after.filter(({ id }, p) => id === before[p]!.id)).toEqual([]);
      await expectUndisturbed(pipeline, follower, undisturbed, { outage });
    }

    it(
      'is emptied, and the file is played again',
      async () => {
        await lose(({ url }) => flush(url), false);
      },
      TEST_MS,
    );

    it(
      'is killed and comes back with nothing, and the file is played again',
      async () => {
        await lose((server) => server.kill(), true);
      },
      TEST_MS,
    );
  });
});

/** The run has a Redis, but none that may be killed. */
function skipped(why: string): void {
  if (process.env.REQUIRE_REAL_SERVICES === '1') throw new Error(`REQUIRE_REAL_SERVICES=1, but ${why}`);
  console.warn(`skipped: ${expect.getState().currentTestName} (${why})`);
}

async function flush(url: string): Promise<void> {
  const redis = new Redis(url);
  await redis.flushall();
  redis.disconnect();
}
