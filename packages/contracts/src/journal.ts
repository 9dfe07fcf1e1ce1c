import { type Bar, type BarRefusal, decodeBar, encodeBar, isRefusal } from './bar';

/** Bars that one journal entry holds at the most, so that no reader is held up for long by one of them. */
export const ENTRY_BARS_MAX = 500;

/**
 * What the ingestor appends to the journal of a partition: deliveries in order, and its clock after the last of them.
 * A null clock is a withheld one: while the source is not live nothing turns final.
 */
export interface JournalEntry {
  readonly clock: number | null;
  readonly bars: readonly Bar[];
}

/** Entry as text. */
export function encodeEntry(entry: JournalEntry): string {
  return encodeEntryOf(entry.clock, entry.bars.map(encodeBar));
}

/** Entry of bars that are text already ({@link encodeBar}): a bar that is published as well is encoded once. Hot. */
export function encodeEntryOf(clock: number | null, encodedBars: readonly string[]): string {
  return `{"clock":${clock},"bars":[${encodedBars.join(',')}]}`;
}

/**
 * Entry from text. A text that is no entry, or bars in it that are none, are reported and left out: whoever reads a
 * journal must get past everything that was ever written to it.
 */
export function decodeEntry(text: string): { entry: JournalEntry; refused: readonly (BarRefusal | 'bad_entry')[] } {
  const bad = { entry: { clock: null, bars: [] }, refused: ['bad_entry'] } as const;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad;
  }
  if (typeof value !== 'object' || value === null) return bad;
  const { clock, bars } = value as { clock?: unknown; bars?: unknown };
  if (!(clock === null || (typeof clock === 'number' && Number.isSafeInteger(clock))) || !Array.isArray(bars))
    return bad;
  const refused: BarRefusal[] = [];
  const good: Bar[] = [];
  for (const raw of bars) {
    // The delivery's own clock was checked by the ingestor; a withheld one leaves nothing to compare with.
    const bar = decodeBar(raw, clock ?? Number.POSITIVE_INFINITY);
    if (isRefusal(bar)) refused.push(bar);
    else good.push(bar);
  }
  return { entry: { clock, bars: good }, refused };
}
