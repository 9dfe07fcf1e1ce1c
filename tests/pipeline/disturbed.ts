import { randomInt } from 'node:crypto';
import { type DeliveryLog, randomDeliveries, randomOf, writeLog } from './delivery-log';
import type { Follower, FollowOptions } from './follower';
import { createPipeline, expectDense, expectSameLines, type Pipeline } from './harness';

/** Stands in the titles of the suites, so that a failing run can be had again. */
export const SEED = Number(process.env.CANDLEWIRE_SEED ?? randomInt(1_000_000));

/** At this speed a replay of the log takes six seconds and more: time to be disturbed in. */
export const UNHURRIED = { REPLAY_SPEED: '35000' };
/** At this one it takes almost a minute: also a busy machine is still in the midst of it after several kills and starts. */
export const SLOW = { REPLAY_SPEED: '7000' };

/** A log of deliveries, and what comes of it where nothing goes wrong. */
export interface Undisturbed {
  readonly log: DeliveryLog;
  readonly candles: readonly string[];
}

export async function playUndisturbed(): Promise<Undisturbed> {
  const log = writeLog(randomDeliveries(SEED));
  const pipeline = await createPipeline();
  try {
    const follower = await pipeline.follow();
    pipeline.spawn('aggregator');
    await pipeline.played(pipeline.replay(log.file), log.deliveries);
    await pipeline.consumed();
    await expectDense(pipeline);
    expect(await follower.faultsAgainst(pipeline.store)).toEqual([]);
    return { log, candles: await pipeline.candles() };
  } finally {
    await pipeline.close();
  }
}

/** Whole numbers from `low` to `high`, of a sequence of its own for each use. */
export function seeded(use: string): (low: number, high: number) => number {
  const random = randomOf([...use].reduce((sum, char) => sum * 31 + char.charCodeAt(0), SEED));
  return (low, high) => low + Math.floor(random() * (high - low + 1));
}

/** What must hold at the end of a run, whatever happened on the way. */
export async function expectUndisturbed(
  pipeline: Pipeline,
  follower: Follower,
  expected: Undisturbed,
  options: FollowOptions = {},
): Promise<void> {
  await pipeline.consumed();
  expectSameLines(await pipeline.candles(), expected.candles);
  await expectDense(pipeline);
  expect(await follower.faultsAgainst(pipeline.store, options)).toEqual([]);
  expect(pipeline.errors()).toEqual([]);
}
