import type { CalendarKind } from '@candlewire/candles';
import type { Bar, FeedState, SourceKind, Tick } from '@candlewire/contracts';

/** What a source hands over at once: bars in the order in which they were delivered to it, and how things stand after them. */
export interface Delivery {
  /** The source's clock after these bars, epoch ms; null: withheld, nothing turns final. Never goes back within a stream. */
  readonly clock: number | null;
  /** Checked by `parseBar`; at most a few thousand. May be empty, for news of the clock or the state alone. */
  readonly bars: readonly Bar[];
  /** Where it changes. */
  readonly state?: FeedState;
  /** Why, where the state is `failed`. */
  readonly reason?: string;
}

/**
 * Where bars come from. Every source has live bars; what more it has shows in the optional members.
 *
 * Streams are pulled: a source makes the next delivery when the last one was taken, and one that is pushed to from
 * outside bounds what it holds meanwhile. A stream that is aborted ends soon, without an error. An error is final: a
 * source that can come back (a lost connection) does so by itself and tells its state.
 */
export interface Source {
  readonly kind: SourceKind;
  readonly calendar: CalendarKind;
  /** What the source refused to take for a bar so far, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Bars from now on; of a recording: from its start, at each call. Ends where there will be no more. */
  live(signal: AbortSignal): AsyncIterable<Delivery>;
  /** Bars with from <= openTime < to, ascending, a page at a time. */
  readonly history?: (symbol: string, from: number, to: number, signal: AbortSignal) => AsyncIterable<readonly Bar[]>;
  /** So long after a minute its bar may still be corrected; after an outage history is fetched again from so far back. */
  readonly settledAfterMs?: number;
  /** Trades from now on; a reader that is too slow misses some. */
  readonly ticks?: (signal: AbortSignal) => AsyncIterable<Tick>;
}
