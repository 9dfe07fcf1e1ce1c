import { type Bar, ENTRY_BARS_MAX, encodeEntry, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { bar, describeWithRedis, MONDAY_OPEN } from '@candlewire/testkit';
import { type DeliveryLog, randomOf, writeLog } from './delivery-log';
import type { Follower } from './follower';
import { createPipeline, expectDense, expectSameLines, type Pipeline } from './harness';
import { headsOf } from './heads';

const SYMBOL = 'DEEP';
const MINUTES = 20_000;
const FLOOD_FROM = 5_000;
const FLOOD_MINUTES = 3 * ENTRY_BARS_MAX;
const TEST_MS = 120_000;

/** Two weeks without a pause. */
function twoWeeks(): Bar[] {
  const random = randomOf(20_000);
  let close = 100;
  return Array.from({ length: MINUTES }, (_, minute) => {
    const open = close;
    close = Math.round(close * (1 + (random() - 0.5) * 0.004) * 100) / 100;
    const volume = Math.floor(random() * 10_000);
    return bar({ symbol: SYMBOL, openTime: MONDAY_OPEN + minute * MINUTE_MS, open, close, volume });
  });
}

function corrected(one: Bar, rev: Bar['rev']): Bar {
  const close = one.close + 1;
  return { ...one, rev, close, high: Math.max(one.high, close), volume: one.volume + 7 };
}

describeWithRedis('corrections of old minutes among 20,000', () => {
  const minutes = twoWeeks();
  const logs: DeliveryLog[] = [];
  let pipeline: Pipeline;
  let follower: Follower;

  /** Plays `minutes` as they are now from the start of a pipeline's life. */
  async function play(fresh: Pipeline): Promise<void> {
    const log = writeLog(minutes.map((one) => ({ arrival: one.openTime + MINUTE_MS + 1_000, bar: one })));
    logs.push(log);
    await fresh.played(fresh.replay(log.file), log.deliveries);
    await fresh.consumed();
  }

  /** What comes of the same minutes where they are right from the start. */
  async function freshCandles(): Promise<string[]> {
    const fresh = await createPipeline();
    try {
      fresh.spawn('aggregator');
      await play(fresh);
      return await fresh.candles();
    } finally {
      await fresh.close();
    }
  }

  /** Appends the bars to the journal in one go, and holds them to be the minutes from now on. */
  async function correct(bars: readonly Bar[]): Promise<void> {
    const partition = partitionOf(SYMBOL);
    const heads = await pipeline.bus.journal.open(PARTITIONS);
    const entries = Array.from({ length: Math.ceil(bars.length / ENTRY_BARS_MAX) }, (_, i) =>
      bars.slice(i * ENTRY_BARS_MAX, (i + 1) * ENTRY_BARS_MAX),
    );
    await pipeline.bus.journal.append(
      null,
      entries.map((some) => {
        const text = encodeEntry({ clock: null, bars: some });
        return { partition, known: heads[partition]!, text, bars: some.length };
      }),
    );
    for (const one of bars) minutes[(one.openTime - MONDAY_OPEN) / MINUTE_MS] = one;
  }

  async function seqOf(interval: string): Promise<number> {
    const heads = await headsOf(pipeline.store);
    return heads.find((head) => head.symbol === SYMBOL && head.interval === interval)!.seq;
  }

  beforeAll(async () => {
    pipeline = await createPipeline();
    follower = await pipeline.follow();
  }, TEST_MS);

  afterAll(async () => {
    await pipeline?.close();
    for (const log of logs) log.remove();
  });

  it(
    'end in the same bits as if the tenth minute had been right from the start',
    async () => {
      const aggregator = pipeline.spawn('aggregator');
      await play(pipeline);
      const before = await seqOf('1m');
      await correct([corrected(minutes[9]!, 2)]);
      await pipeline.consumed();
      // The widest moving average reaches 160 candles, Wilder's averages somewhat further: not to the end.
      const changed = (await seqOf('1m')) - before;
      expect(changed).toBeGreaterThan(160);
      expect(changed).toBeLessThan(1_000);
      expectSameLines(await pipeline.candles(), await freshCandles());
      expect(await follower.faultsAgainst(pipeline.store)).toEqual([]);
      await aggregator.stop();
    },
    TEST_MS,
  );

  it(
    'are published as one pointer to the store where a commit changes more than 1,000 candles',
    async () => {
      // Appended while nobody reads, so that they are one batch.
      await correct(minutes.slice(FLOOD_FROM, FLOOD_FROM + FLOOD_MINUTES).map((one) => corrected(one, 3)));
      const before = { '1m': await seqOf('1m'), '5m': await seqOf('5m') };
      const pointers = follower.changedMessages;
      pipeline.spawn('aggregator');
      await pipeline.consumed();

      const { messages, pointers: told } = follower.series.get(`${SYMBOL} 1m`)!;
      const head = await seqOf('1m');
      expect(head - before['1m']).toBeGreaterThan(FLOOD_MINUTES);
      expect(told.at(-1)).toEqual({ after: before['1m'], to: head });
      expect(follower.changedMessages).toBe(pointers + 1);
      expect([...messages.keys()].filter((seq) => seq > before['1m'])).toEqual([]);
      expect(await seqOf('5m')).toBeGreaterThan(before['5m']);

      expectSameLines(await pipeline.candles(), await freshCandles());
      await expectDense(pipeline);
      expect(await follower.faultsAgainst(pipeline.store)).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
