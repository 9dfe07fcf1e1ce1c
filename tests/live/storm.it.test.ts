import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { randomOf } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type Balancer, startBalancer } from './balancer';
import { type Feeder, startFeeder } from './feeder';
import { startGateway } from './fleet';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const CLIENTS = 1_000;
/** Two hundred series, of which each client follows twenty. */
const SYMBOLS = Array.from({ length: 50 }, (_, i) => `S${String.fromCharCode(65 + (i % 26))}${i}`);
const SYMBOLS_EACH = 5;
const SERIES = SYMBOLS.length * INTERVALS.length;
const PACE = { bars: 1, everyMs: 100 };
/**
 * Of the store for each series, by the hundred clients that follow it: one for the first, and another for whoever was
 * further back than that. What each costs alone would be a hundred and more.
 */
const READS_PER_SERIES_MAX = 5;

describeWithRedis(`a thousand clients whose gateway is killed (CANDLEWIRE_SEED=${SEED})`, () => {
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

  test(
    'are all live again on the other one, for a few reads of the store for each series',
    async () => {
      const random = randomOf(SEED);
      pipeline = await createPipeline();
      pipeline.spawn('aggregator');
      feeder = await startFeeder(pipeline, SYMBOLS, random, PACE);
      const first = await startGateway(pipeline);
      const second = await startGateway(pipeline);
      await second.kill();
      balancer = await startBalancer([first.port, second.port], random);
      const { origin } = balancer;
      witnesses = Array.from({ length: CLIENTS }, () => {
        const from = Math.floor(random() * SYMBOLS.length);
        const symbols = Array.from({ length: SYMBOLS_EACH }, (_, i) => SYMBOLS[(from + i * 7) % SYMBOLS.length]!);
        return new Witness(origin, { symbols, intervals: INTERVALS, history: 3 });
      });
      await waitFor(() => witnesses.every(({ hasBegun }) => hasBegun), { timeoutMs: PATIENCE_MS, what: 'all joined' });
      expect(await first.metric('connections')).toBeGreaterThanOrEqual(CLIENTS);

      await second.start();
      await first.kill();
      const isBack = async () => (await second.metric('subscriptions')) === CLIENTS * SYMBOLS_EACH * INTERVALS.length;
      await waitFor(isBack, { timeoutMs: PATIENCE_MS, what: 'all are back' });
      await feeder.stop();
      await pipeline.consumed();
      await expectWhole(pipeline, second.origin, witnesses);
      // Cut off by the kill, and by nothing that a gateway says.
      expect(new Set(witnesses.flatMap(({ closes }) => closes))).toEqual(new Set([1006]));
      expect(witnesses.flatMap(({ resets }) => resets)).toEqual([]);
      const reads = await second.metric('store_reads_total');
      expect(reads).toBeLessThanOrEqual(SERIES * READS_PER_SERIES_MAX);
      expect(await second.metric('gaps_healed_total')).toBeLessThanOrEqual(SERIES);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
