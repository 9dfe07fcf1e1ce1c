import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { randomOf } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type Balancer, startBalancer } from './balancer';
import { type Feeder, startFeeder } from './feeder';
import { type LiveGateway, startGateway } from './fleet';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const CLIENTS = 500;
/** A gateway that goes down takes somewhat longer until it sends the first away. */
const NOTICE_MS = 900;
const SYMBOLS = ['AAPL', 'MSFT', 'NVDA', 'KO', 'XOM', 'JPM', 'TSLA', 'META', 'AMZN', 'GOOG'];
const PACE = { bars: 1, everyMs: 100 };

describeWithRedis(`a rolling restart under ${CLIENTS} clients (CANDLEWIRE_SEED=${SEED})`, () => {
  let pipeline: Pipeline;
  let balancer: Balancer | undefined;
  let feeder: Feeder | undefined;
  let witnesses: Witness[] = [];

  afterAll(async () => {
    for (const witness of witnesses) witness.close();
    await balancer?.close();
    await feeder?.stop();
    await pipeline?.close();
  });

  const isReady = async ({ origin }: LiveGateway) => (await fetch(`${origin}/ready`)).status === 200;

  test(
    'loses nothing: every client is told to go, and goes on elsewhere',
    async () => {
      const random = randomOf(SEED);
      pipeline = await createPipeline();
      pipeline.spawn('aggregator');
      feeder = await startFeeder(pipeline, SYMBOLS, random, PACE);
      const gateways = await Promise.all([startGateway(pipeline), startGateway(pipeline)]);
      for (const gateway of gateways) await waitFor(() => isReady(gateway), { timeoutMs: PATIENCE_MS });
      balancer = await startBalancer(
        gateways.map(({ port }) => port),
        random,
      );
      const { origin, linksOf } = balancer;
      witnesses = Array.from({ length: CLIENTS }, () => {
        const symbols = [SYMBOLS[Math.floor(random() * SYMBOLS.length)]!];
        return new Witness(origin, { symbols, intervals: INTERVALS, history: Math.floor(random() * 5) });
      });
      await waitFor(() => witnesses.every(({ hasBegun }) => hasBegun), { timeoutMs: PATIENCE_MS, what: 'all joined' });
      const shares = gateways.map(({ port }) => linksOf(port));
      expect(Math.min(...shares)).toBeGreaterThan(CLIENTS / 10);

      for (const [i, gateway] of gateways.entries()) {
        const { service } = gateway;
        const from = performance.now();
        service.kill('SIGTERM');
        await waitFor(async () => !(await isReady(gateway)), { what: '/ready says 503' });
        expect(await service.exited).toMatchObject({ code: 0 });
        const toldAt = witnesses.flatMap(({ shutdownsAt }) => shutdownsAt).filter((at) => at > from);
        // Nobody is sent away at once: the balancer has time to look.
        expect(Math.min(...toldAt) - from).toBeGreaterThan(NOTICE_MS);
        await gateway.start();
        await waitFor(() => isReady(gateway), { timeoutMs: PATIENCE_MS, what: `gateway ${i} is ready again` });
      }
      const isBack = async () => {
        const counts = await Promise.all(gateways.map((gateway) => gateway.metric('subscriptions')));
        return counts[0]! + counts[1]! === CLIENTS * INTERVALS.length;
      };
      await waitFor(isBack, { timeoutMs: PATIENCE_MS, what: 'all are back' });
      await feeder.stop();
      await pipeline.consumed();
      await expectWhole(pipeline, gateways[0]!.origin, witnesses);
      expect(witnesses.filter(({ shutdowns }) => shutdowns === 0).length).toBe(0);
      // Each connection that ended was sent away in due form.
      const unannounced = witnesses.filter(({ shutdowns, closes }) => closes.length !== shutdowns);
      expect(unannounced.map(({ shutdowns, closes }) => ({ shutdowns, closes }))).toEqual([]);
      expect(new Set(witnesses.flatMap(({ closes }) => closes))).toEqual(new Set([1012]));
      expect(witnesses.flatMap(({ resets }) => resets)).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
