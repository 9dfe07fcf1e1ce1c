import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { LOG_SYMBOLS, randomOf } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import type { MortalServer } from '../pipeline/servers';
import { type Feeder, startFeeder } from './feeder';
import { startGateway } from './fleet';
import { startKeptRedis } from './kept-redis';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const SYMBOLS = LOG_SYMBOLS;
/** As fast as it is committed. */
const PACE = { bars: 200, everyMs: 0 };
/** Bytes: hard, soft, and seconds over the soft one. */
const BUFFER_LIMIT = 'pubsub 65536 65536 1';

describeWithRedis(`a gateway that Redis drops as too slow a subscriber (CANDLEWIRE_SEED=${SEED})`, () => {
  let feeder: Feeder | undefined;
  let pipeline: Pipeline;
  let server: MortalServer;
  let database: TestDatabase;
  let redis: Redis;
  const witnesses: Witness[] = [];

  beforeAll(async () => {
    database = await testDatabase();
    server = await startKeptRedis();
    redis = new Redis(server.url);
    redis.on('error', () => {});
    await redis.config('SET', 'client-output-buffer-limit', BUFFER_LIMIT);
    pipeline = await createPipeline({ databaseUrl: database.url, redisUrl: server.url, prefix: 'live' });
  });

  afterAll(async () => {
    for (const witness of witnesses) witness.close();
    await feeder?.stop();
    await pipeline?.close();
    redis?.disconnect();
    await server?.stop();
    await database?.drop();
  });

  /** Ids of the connections that subscribe to as many channels as there are series. */
  async function subscribers(): Promise<string[]> {
    const lines = String(await redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).split('\n');
    const enough = SYMBOLS.length * INTERVALS.length;
    return lines.flatMap((line) =>
      Number(/ sub=(\d+)/.exec(line)?.[1]) >= enough ? [/^id=(\d+)/.exec(line)![1]!] : [],
    );
  }

  test(
    'tells its clients what it missed, once it runs again',
    async () => {
      pipeline.spawn('aggregator');
      const gateway = await startGateway(pipeline);
      for (const history of [0, 1_000])
        witnesses.push(new Witness(gateway.origin, { symbols: SYMBOLS, intervals: INTERVALS, history }));
      await waitFor(() => witnesses.every(({ hasBegun }) => hasBegun), { timeoutMs: PATIENCE_MS, what: 'all joined' });
      expect(await subscribers()).toHaveLength(1);
      feeder = await startFeeder(pipeline, SYMBOLS, randomOf(SEED), PACE);
      await pipeline.moreCommits(2);
      // Numbers get their epoch with the feeder, which is healed as well: of every series before anything is lost.
      const haveHeard = (witness: Witness) =>
        SYMBOLS.every((symbol) => INTERVALS.every((interval) => witness.lastOf(symbol, interval) > 0));
      await waitFor(() => witnesses.every(haveHeard), { timeoutMs: PATIENCE_MS, what: 'all series have begun' });
      const healed = await gateway.metric('gaps_healed_total');
      gateway.service.kill('SIGSTOP');
      // Whatever it was before: stopped as it is it does not come back.
      const isDropped = async () => (await subscribers()).length === 0;
      await waitFor(isDropped, { timeoutMs: PATIENCE_MS, what: 'Redis drops the subscriber' });
      gateway.service.kill('SIGCONT');
      await feeder.stop();
      await pipeline.consumed();
      await expectWhole(pipeline, gateway.origin, witnesses);
      expect(await gateway.metric('gaps_healed_total')).toBeGreaterThan(healed);
      expect(witnesses.flatMap(({ closes }) => closes)).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
