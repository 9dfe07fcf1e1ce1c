import { INTERVALS } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { LOG_SYMBOLS, randomOf } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { createPipeline, PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { type Feeder, startFeeder } from './feeder';
import { type LiveGateway, startGateway } from './fleet';
import { expectWhole } from './whole';
import { Witness } from './witness';

const TEST_MS = 120_000;
const SYMBOLS = LOG_SYMBOLS;
/** As fast as it is committed. */
const PACE = { bars: 200, everyMs: 0 };
/** Longer than the others, who live in this process, may have to wait until they are let run. */
const STALL_MS = 5_000;
const SOFT_BYTES = 65_536;
const PATIENT = { WS_STALL_MS: '600000', WS_PING_MS: '600000', WS_QUEUE_SOFT_BYTES: String(SOFT_BYTES) };
/** Changes of which a client misses some that reads nothing meanwhile: as many as its socket may still have room for. */
const MISSED = 20_000;

describeWithRedis(`clients that stop reading (CANDLEWIRE_SEED=${SEED})`, () => {
  let feeder: Feeder | undefined;
  let pipeline: Pipeline;
  const witnesses: Witness[] = [];

  afterAll(async () => {
    for (const witness of witnesses) witness.close();
    await feeder?.stop();
    await pipeline?.close();
  });

  function watch({ origin }: LiveGateway): Witness {
    const witness = new Witness(origin, { symbols: SYMBOLS, intervals: INTERVALS, history: 1 });
    witnesses.push(witness);
    return witness;
  }

  test(
    'are closed, or caught up when they read again, and their neighbours notice nothing',
    async () => {
      pipeline = await createPipeline();
      pipeline.spawn('aggregator');
      feeder = await startFeeder(pipeline, SYMBOLS, randomOf(SEED), PACE);
      const [patient, strict] = await Promise.all([
        startGateway(pipeline, PATIENT),
        startGateway(pipeline, { WS_STALL_MS: String(STALL_MS) }),
      ]);
      const neighbours = [patient, strict, patient, strict].map(watch);
      const [slow, stalled] = [watch(patient), watch(strict)];
      await waitFor(() => witnesses.every(({ hasBegun }) => hasBegun), { timeoutMs: PATIENCE_MS, what: 'all joined' });
      slow.pause();
      stalled.pause();
      const isClosed = async () => (await strict.metric('slow_closes_total')) > 0;
      await waitFor(isClosed, { timeoutMs: PATIENCE_MS, what: 'the one that reads nothing is closed' });
      stalled.resume();
      await waitFor(() => stalled.closes.length > 0, { timeoutMs: PATIENCE_MS, what: 'it hears of it' });
      expect(stalled.closes[0]).toBe(4408);
      const isFull = async () => (await patient.metric('queue_high_water_bytes')) >= SOFT_BYTES;
      await waitFor(isFull, { timeoutMs: PATIENCE_MS, what: 'a queue up to the soft limit' });
      const sent = await patient.metric('messages_in_total');
      const hasMissed = async () => (await patient.metric('messages_in_total')) >= sent + MISSED;
      await waitFor(hasMissed, { timeoutMs: PATIENCE_MS, what: 'changes that it misses' });

      await feeder.stop();
      await pipeline.consumed();
      expect(slow.closes).toEqual([]);
      slow.resume();
      await expectWhole(pipeline, patient.origin, witnesses);
      expect(slow.skipped).toBeGreaterThan(0);
      expect(slow.closes).toEqual([]);
      expect(await patient.metric('slow_closes_total')).toBe(0);
      expect(neighbours.flatMap(({ closes }) => closes)).toEqual([]);
      expect(witnesses.flatMap(({ resets }) => resets)).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
