import type { CalendarKind } from '@candlewire/candles';
import type { Bar, FeedState, MarketStatus, SourceKind, Tick } from '@candlewire/contracts';

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

/** One answer of a source's history: one request, where it makes requests. */
export interface HistoryPage {
  /** Ascending. Their `rev` is not looked at: whoever asked knows how old they were when they were fetched. */
  readonly bars: readonly Bar[];
  /**
   * All of openTime < answeredTo has now been answered, by this page and those before it: a minute without a bar had no
   * trade. No more than was asked for. A last page below it means that the source cannot say more yet; it is asked again.
   */
  readonly answeredTo: number;
}

/** The source wants to be left alone for a while: by every request, whatever it asks for. It is no failure. */
export class RateLimited extends Error {
  constructor(readonly retryAfterMs: number) {
    super('rate limited by the source');
    this.name = 'RateLimited';
  }
}

/** The source will never answer this: a symbol that it does not know, a plan that does not include it. Not tried again. */
export class HistoryRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'HistoryRefused';
  }
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
  /**
   * Bars with from <= openTime < to, ascending, a page at a time; each page is asked for when the one before was taken,
   * and counts as one request. Ends early, without an error, where the source cannot say more yet.
   * @throws RateLimited, HistoryRefused, or what may be tried again
   */
  readonly history?: (symbol: string, from: number, to: number, signal: AbortSignal) => AsyncIterable<HistoryPage>;
  /** So many New York days are best asked for at once: what a page holds, about; 1 where it is left out. The current day is always by itself. */
  readonly historyDaysAtOnce?: number;
  /** Requests that it makes in a minute besides those for history, at the most: they count against the same limit. */
  readonly otherRequestsPerMin?: number;
  /** In which sessions the source delivers bars: elsewhere nothing is missing. pre, regular and post where it is left out. */
  readonly statuses?: readonly MarketStatus[];
  /** Symbols whose bars flow now, for a source that may deliver fewer than it is asked for; all of those where it is left out. */
  readonly delivers?: () => readonly string[];
  /**
   * Of symbols that it delivers, what is known to have been missed since the last call, though the stream goes on: each with the
   * minute from which nothing is certain, up to now.
   */
  readonly takeMissed?: () => ReadonlyMap<string, number>;
  /** Symbols that it was asked for and does not ask for: beyond a limit, or refused. */
  readonly leftOut?: () => readonly string[];
  /** So long after a minute its bar may still be corrected; after an outage history is fetched again from so far back. */
  readonly settledAfterMs?: number;
  /** Trades from now on; a reader that is too slow misses some. */
  readonly ticks?: (signal: AbortSignal) => AsyncIterable<Tick>;
}
