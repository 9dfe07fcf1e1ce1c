import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { type DeliveryLog, LOG_SYMBOLS } from '../pipeline/delivery-log';
import { SEED, seeded } from '../pipeline/disturbed';
import { createPipeline, killed, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { startProxy, type TcpProxy } from '../pipeline/proxy';
import type { MortalServer } from '../pipeline/servers';
import { disturbed, logOf } from './busy';
import { type LiveGateway, startGateway } from './fleet';
import { startKeptRedis } from './kept-redis';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const SYMBOLS = 3;
const PACE = { REPLAY_SPEED: '12000' };
/** They are killed so often, where there is time for it, and at least once. */
const KILLS_MAX = 2;

describeWithRedis(`clients while processes are killed (CANDLEWIRE_SEED=${SEED})`, () => {
  let log: DeliveryLog;
  let pipeline: Pipeline;
  let witnesses: Witness[];
  let release: (() => Promise<unknown>)[];

  beforeAll(() => {
    log = logOf(SYMBOLS, 2);
  });

  afterAll(() => log?.remove());

  beforeEach(() => {
    witnesses = [];
    release = [];
  });

  afterEach(async () => {
    for (const witness of witnesses) witness.close();
    await pipeline?.close();
    for (const act of release.reverse()) await act();
  });

  /** Some with history and some without. */
  function watch({ origin }: LiveGateway): void {
    const symbols = LOG_SYMBOLS.slice(0, SYMBOLS);
    for (const history of [0, 1, 1_000])
      witnesses.push(new Witness(origin, { symbols, intervals: INTERVALS, history }));
  }

  async function expectEverybodyWhole(gateways: readonly LiveGateway[]): Promise<void> {
    await pipeline.consumed();
    for (const { origin } of gateways) await expectWhole(pipeline, origin, witnesses);
    expect(pipeline.errors()).toEqual([]);
  }

  test(
    'a gateway and the aggregators are killed again and again, and nothing is missing or told twice',
    async () => {
      const between = seeded('live kills');
      pipeline = await createPipeline();
      let aggregator = pipeline.spawn('aggregator');
      const gateways = await Promise.all([startGateway(pipeline), startGateway(pipeline)]);
      for (const gateway of gateways) watch(gateway);
      const ingestor = pipeline.replay(log.file, PACE);
      let kills = 0;
      await disturbed(
        pipeline,
        log,
        () => between(1, 2),
        async () => {
          if (kills++ >= KILLS_MAX) return;
          const gateway = gateways[between(0, 1)]!;
          await Promise.all([gateway.kill(), killed(aggregator)]);
          await pipeline.endLeases();
          aggregator = pipeline.spawn('aggregator');
          await gateway.start();
        },
      );
      expect(kills).toBeGreaterThanOrEqual(1);
      await pipeline.played(ingestor, log.deliveries);
      await expectEverybodyWhole(gateways);
    },
    TEST_MS,
  );

  test(
    'an aggregator is killed between commit and publication, and clients are told what it committed',
    async () => {
      pipeline = await createPipeline();
      const proxy: TcpProxy = await startProxy(pipeline.redisUrl);
      release.push(() => proxy.close());
      const aggregator = pipeline.spawn('aggregator', { REDIS_URL: proxy.through(pipeline.redisUrl) });
      const gateway = await startGateway(pipeline);
      watch(gateway);
      // Counted on their way, and not in the store: the replay does not wait for whoever looks there.
      let left = seeded('live publish')(1, 4);
      proxy.holdFrom((chunk) => chunk.includes(`${pipeline.prefix}:candles:`) && --left < 0);
      const ingestor = pipeline.replay(log.file, PACE);
      await waitFor(() => proxy.held > 0, { timeoutMs: PATIENCE_MS, what: 'a publication is held back' });
      await killed(aggregator);
      await pipeline.endLeases();
      pipeline.spawn('aggregator');
      await pipeline.played(ingestor, log.deliveries);
      await expectEverybodyWhole([gateway]);
    },
    TEST_MS,
  );

  test(
    'a Redis that keeps what it holds is killed, and clients go on where they were',
    async () => {
      const database: TestDatabase = await testDatabase();
      release.push(() => database.drop());
      const redis: MortalServer = await startKeptRedis();
      release.push(() => redis.stop());
      pipeline = await createPipeline({ databaseUrl: database.url, redisUrl: redis.url, prefix: 'live' });
      pipeline.spawn('aggregator');
      const gateways = await Promise.all([startGateway(pipeline), startGateway(pipeline)]);
      for (const gateway of gateways) watch(gateway);
      const ingestor = pipeline.replay(log.file, PACE);
      const between = seeded('live redis');
      let kills = 0;
      await disturbed(
        pipeline,
        log,
        () => between(2, 5),
        async () => {
          if (kills++ < KILLS_MAX) await redis.kill();
        },
      );
      expect(kills).toBeGreaterThanOrEqual(1);
      await pipeline.played(ingestor, log.deliveries);
      await expectEverybodyWhole(gateways);
      // The gateways stayed, and so did their clients.
      expect(witnesses.map(({ closes }) => closes)).toEqual(witnesses.map(() => []));
    },
    TEST_MS,
  );
});
