import type { ReadEntry } from '@candlewire/bus';
import { ENTRY_BARS_MAX } from '@candlewire/contracts';

/** Entries or bars that changed nothing may run ahead of the stored position so far: no commit for nothing, yet the journal can be trimmed. History is appended while few bars wait: a full entry of it is news. */
const ENTRIES_MAX = 256;
const BARS_MAX = ENTRY_BARS_MAX;
/** Bars do not wait longer: whoever filled them in asks whether they are stored. Clocks alone nobody asks for. */
const BARS_WAIT_MS = 2_000;

/**
 * What was applied, changed nothing, and is not in the stored position yet. After a crash it is read again, which changes
 * nothing either: when it is stored is a matter of politeness, and nothing else follows from it.
 */
export interface Unstored {
  readonly entries: number;
  readonly bars: number;
  /** The last entry; null where there is none. */
  readonly last: ReadEntry | null;
  /** When the first of the bars was applied, by a clock that never jumps; null where there is none. */
  readonly barsSinceMs: number | null;
}

export const NOTHING: Unstored = { entries: 0, bars: 0, last: null, barsSinceMs: null };

export function withEntries(
  { entries, bars, barsSinceMs }: Unstored,
  more: { readonly size: number; readonly bars: number; readonly last: ReadEntry },
  nowMs: number,
): Unstored {
  const since = more.bars > 0 ? (barsSinceMs ?? nowMs) : barsSinceMs;
  return { entries: entries + more.size, bars: bars + more.bars, last: more.last, barsSinceMs: since };
}

/** So long the position may still wait; 0 or less: it is to be stored now, Infinity: not for the time's sake. */
export function waitsMs({ entries, bars, barsSinceMs }: Unstored, nowMs: number): number {
  if (entries >= ENTRIES_MAX || bars >= BARS_MAX) return 0;
  return barsSinceMs === null ? Number.POSITIVE_INFINITY : barsSinceMs + BARS_WAIT_MS - nowMs;
}
