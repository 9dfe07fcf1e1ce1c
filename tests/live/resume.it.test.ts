import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis } from '@candlewire/testkit';
import { type DeliveryLog, LOG_SYMBOLS, randomOf } from '../pipeline/delivery-log';
import { SEED, seeded } from '../pipeline/disturbed';
import { createPipeline, type Pipeline } from '../pipeline/harness';
import { type Balancer, startBalancer } from './balancer';
import { disturbed, logOf } from './busy';
import { startGateway } from './fleet';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const SYMBOLS = 4;
/** Two days in more than twenty seconds: whoever has no turn for ten of them finds as many left. */
const PACE = { REPLAY_SPEED: '2500' };
const CLIENTS_MAX = 40;
const CUT_SHARE = 0.4;
/** Far fewer than there is time for, on a machine that does a lot beside it: */
const CUTS_MIN = 10;
const CLIENTS_MIN = 10;

describeWithRedis(`clients that come, are cut off and resume on either gateway (CANDLEWIRE_SEED=${SEED})`, () => {
  let log: DeliveryLog;
  let pipeline: Pipeline;
  let balancer: Balancer;
  const witnesses: Witness[] = [];

  beforeAll(async () => {
    log = logOf(SYMBOLS, 2);
    pipeline = await createPipeline();
  });

  afterAll(async () => {
    for (const witness of witnesses) witness.close();
    await balancer?.close();
    await pipeline?.close();
    log?.remove();
  });

  test(
    'hold what REST answers, each change told once and in order',
    async () => {
      const random = randomOf(SEED);
      const between = seeded('resume');
      const gateways = [await startGateway(pipeline), await startGateway(pipeline)];
      balancer = await startBalancer(
        gateways.map(({ port }) => port),
        random,
      );
      const some = <T>(all: readonly T[]): T[] => {
        const picked = all.filter(() => random() < 0.6);
        return picked.length > 0 ? picked : [all[between(0, all.length - 1)]!];
      };
      const joins = (): void => {
        const query = { symbols: some(LOG_SYMBOLS.slice(0, SYMBOLS)), intervals: some(INTERVALS) };
        witnesses.push(
          new Witness(balancer.origin, { ...query, history: between(0, 3) === 0 ? 0 : between(1, 1_000) }),
        );
      };
      const shared = new Set<number>();
      pipeline.spawn('aggregator');
      joins();
      const ingestor = pipeline.replay(log.file, PACE);
      await disturbed(
        pipeline,
        log,
        () => between(1, 2),
        () => {
          for (const { port } of gateways) if (balancer.linksOf(port) > 0) shared.add(port);
          for (let i = between(1, 3); i > 0 && witnesses.length < CLIENTS_MAX; i--) joins();
          if (balancer.cuts <= CUTS_MIN || random() < 0.5) balancer.cut(() => random() < CUT_SHARE);
        },
      );
      await pipeline.played(ingestor, log.deliveries);
      await pipeline.consumed();
      for (const { origin } of gateways) await expectWhole(pipeline, origin, witnesses);
      expect(shared.size).toBe(2);
      expect(witnesses.length).toBeGreaterThan(CLIENTS_MIN);
      expect(balancer.cuts).toBeGreaterThan(CUTS_MIN);
      expect(witnesses.reduce((sum, { resumes }) => sum + resumes, 0)).toBeGreaterThan(CUTS_MIN);
      // Whatever happened, nobody was so far behind that it had to begin anew.
      expect(witnesses.flatMap(({ resets }) => resets)).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
