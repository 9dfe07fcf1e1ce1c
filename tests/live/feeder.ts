import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Bar,
  encodeEntry,
  type FeedStatus,
  MINUTE_MS,
  PARTITIONS,
  partitionOf,
  toIso,
} from '@candlewire/contracts';
import { bar, MONDAY_OPEN } from '@candlewire/testkit';
import type { Pipeline } from '../pipeline/harness';

/** Share of the minutes that are sent again with another volume, as updated bars are. */
const UPDATED = 0.3;

/** Bars that may wait to be committed. */
const WAITING_MAX = 2_000;

/** How fast: so many bars at once, at most every so many ms. */
export interface Pace {
  readonly bars: number;
  readonly everyMs: number;
}

/** In the place of an ingestor: changes for as long as a test needs them. */
export interface Feeder {
  /** Bars so far. */
  readonly bars: number;
  stop(): Promise<void>;
}

/** Sends bars of the symbols until it is stopped, no faster than they are committed, and says that the source is live. */
export async function startFeeder(
  { store, bus, channels }: Pipeline,
  symbols: readonly string[],
  random: () => number,
  pace: Pace,
): Promise<Feeder> {
  await store.declare({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
  const heads = await bus.journal.open(PARTITIONS);
  const newest = new Map<string, Bar>();
  const ended = new AbortController();
  let clock = MONDAY_OPEN;
  let bars = 0;

  /** Of a symbol that had none yet, or of any. */
  function next(): Bar {
    const symbol = symbols[newest.size] ?? symbols[Math.floor(random() * symbols.length)]!;
    const last = newest.get(symbol);
    const volume = 1 + Math.floor(random() * 1_000);
    const openTime = last === undefined ? MONDAY_OPEN : last.openTime + MINUTE_MS;
    const fresh = bar({ symbol, openTime, volume, close: Math.round(10_000 + random() * 1_000) / 100 });
    const one: Bar = last !== undefined && random() < UPDATED ? { ...last, volume, rev: 1 } : fresh;
    newest.set(symbol, one);
    return one;
  }

  async function append(some: readonly Bar[]): Promise<void> {
    const byPartition = new Map<number, Bar[]>();
    for (const one of some) {
      const partition = partitionOf(one.symbol);
      byPartition.set(partition, [...(byPartition.get(partition) ?? []), one]);
      clock = Math.max(clock, one.openTime + MINUTE_MS);
    }
    const appends = [...byPartition].map(([partition, own]) => {
      const text = encodeEntry({ clock, bars: own });
      return { partition, known: heads[partition]!, text, bars: own.length };
    });
    const appended = await bus.journal.append(null, appends);
    for (const [i, { partition }] of appends.entries()) heads[partition] = appended[i]!.head;
    bars += some.length;
  }

  async function caughtUp(): Promise<void> {
    const waiting = async () => (await bus.journal.waiting(PARTITIONS)).reduce((sum, one) => sum + one, 0);
    while (!ended.signal.aborted && (await waiting()) > WAITING_MAX) await pause(10);
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal: ended.signal }).catch(() => {});

  async function say(): Promise<void> {
    const now = toIso(Date.now());
    const status: FeedStatus = {
      kind: 'replay',
      state: 'live',
      last_bar_at: now,
      clock: toIso(clock),
      updated_at: now,
    };
    await bus.keep({ channel: channels.feedStatus, text: JSON.stringify(status) });
  }

  async function feed(): Promise<void> {
    while (!ended.signal.aborted) {
      await append(Array.from({ length: pace.bars }, next));
      await say();
      await caughtUp();
      await pause(pace.everyMs);
    }
  }
  await say();
  await append(Array.from({ length: symbols.length }, next));
  const feeding = feed();
  feeding.catch(() => {});
  return {
    get bars() {
      return bars;
    },
    async stop() {
      ended.abort();
      await feeding;
    },
  };
}
