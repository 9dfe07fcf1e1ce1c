import type { ReadEntry } from '@candlewire/bus';
import { type Bar, decodeEntry, type RebuildOrder } from '@candlewire/contracts';

/** Bars of one commit: bounds its memory, its time, and what is told again after a crash. */
export const BATCH_BARS_MAX = 10_000;

/** What is applied in one commit. */
export interface Batch {
  /** The last entry of it. */
  readonly last: ReadEntry;
  /** Entries. */
  readonly size: number;
  /** Bars that its entries held, refused ones included. */
  readonly bars: number;
  /** Bars to be worked in, in the order of the journal. */
  readonly bySymbol: ReadonlyMap<string, readonly Bar[]>;
  /** After it, epoch ms; -Infinity where none was ever told. */
  readonly clock: number;
  /** What follows from that clock. */
  readonly horizon: number | null;
  readonly rebuilds: readonly RebuildOrder[];
  /** Bars and entries that were none, and bars that are too old, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** How things stand before a batch. */
export interface Before {
  readonly clock: number;
  readonly horizon: number | null;
  /** Up to this entry one entry makes a batch. */
  readonly cautiousUntil: number;
}

/**
 * Decodes the first of `entries` that make a batch; null where there is none. Entries are never split. A bar is too old by
 * the clock before its entry, so the same bars are refused however entries fall into batches.
 * @param horizonAt the horizon that follows from a clock, never before the one that is known
 */
export function batchOf(
  entries: readonly ReadEntry[],
  before: Before,
  horizonAt: (clock: number, known: number | null) => number | null,
): Batch | null {
  if (entries.length === 0) return null;
  let { clock, horizon } = before;
  let bars = 0;
  let size = 0;
  const bySymbol = new Map<string, Bar[]>();
  const rebuilds: RebuildOrder[] = [];
  const refused: Record<string, number> = {};
  const refuse = (reason: string) => {
    refused[reason] = (refused[reason] ?? 0) + 1;
  };
  for (const { number, text } of entries) {
    if (size > 0 && (bars >= BATCH_BARS_MAX || number <= before.cautiousUntil)) break;
    const { entry, refused: reasons } = decodeEntry(text);
    reasons.forEach(refuse);
    for (const bar of entry.bars) {
      if (horizon !== null && bar.openTime < horizon) {
        refuse('too_old');
        continue;
      }
      const ofSymbol = bySymbol.get(bar.symbol);
      if (ofSymbol === undefined) bySymbol.set(bar.symbol, [bar]);
      else ofSymbol.push(bar);
    }
    if (entry.clock !== null && entry.clock > clock) {
      clock = entry.clock;
      horizon = horizonAt(clock, horizon);
    }
    if (entry.rebuild !== undefined) rebuilds.push(entry.rebuild);
    bars += entry.bars.length;
    size++;
  }
  return { last: entries[size - 1]!, size, bars, bySymbol, clock, horizon, rebuilds, refused };
}
