import { type Bar, type BarRefusal, decodeBar, encodeBar, isRefusal } from './bar';
import { parseSymbol } from './symbol';

/** Bars that one journal entry holds at the most, so that no reader is held up for long by one of them. */
export const ENTRY_BARS_MAX = 500;

/** Candles are to be computed anew from the stored minutes, once everything before this has been applied. */
export interface RebuildOrder {
  /** Of the rebuild in the store, which knows how far it has come: an order that comes again changes nothing. */
  readonly id: string;
  /** Those of the partition. */
  readonly symbols: readonly string[];
  /** New York midnight of the first day, epoch ms; null: everything. */
  readonly from: number | null;
}

/**
 * What the ingestor appends to the journal of a partition: deliveries in order, and its clock after the last of them.
 * A null clock is a withheld one: while the source is not live nothing turns final.
 */
export interface JournalEntry {
  readonly clock: number | null;
  readonly bars: readonly Bar[];
  readonly rebuild?: RebuildOrder;
}

/** Entry as text. */
export function encodeEntry({ clock, bars, rebuild }: JournalEntry): string {
  const text = encodeEntryOf(clock, bars.map(encodeBar));
  return rebuild === undefined ? text : `${text.slice(0, -1)},"rebuild":${JSON.stringify(rebuild)}}`;
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
  const { clock, bars, rebuild: order } = value as { clock?: unknown; bars?: unknown; rebuild?: unknown };
  if (!(clock === null || (typeof clock === 'number' && Number.isSafeInteger(clock))) || !Array.isArray(bars))
    return bad;
  const refused: (BarRefusal | 'bad_entry')[] = [];
  const good: Bar[] = [];
  for (const raw of bars) {
    // The delivery's own clock was checked by the ingestor; a withheld one leaves nothing to compare with.
    const bar = decodeBar(raw, clock ?? Number.POSITIVE_INFINITY);
    if (isRefusal(bar)) refused.push(bar);
    else good.push(bar);
  }
  const rebuild = order === undefined ? undefined : parseOrder(order);
  if (rebuild === null) refused.push('bad_entry');
  return { entry: { clock, bars: good, ...(rebuild && { rebuild }) }, refused };
}

function parseOrder(value: unknown): RebuildOrder | null {
  if (typeof value !== 'object' || value === null) return null;
  const { id, symbols, from } = value as { id?: unknown; symbols?: unknown; from?: unknown };
  if (typeof id !== 'string' || !Array.isArray(symbols)) return null;
  if (!(from === null || (typeof from === 'number' && Number.isSafeInteger(from)))) return null;
  return symbols.every((symbol) => parseSymbol(symbol) === symbol) ? { id, symbols, from } : null;
}
