import type { Candle, Interval } from '@candlewire/contracts';

/**
 * What the engine has to know of stored candles to go on. The engine is pure: it yields needs, whoever drives it answers
 * (the aggregator from Postgres, for many symbols in one round trip; a test from a map).
 */
export type Need =
  /** Where the four series of a symbol stand. */
  | { readonly kind: 'symbol'; readonly symbol: string }
  /** Stored candles with from <= openTime < to, ascending, at most `limit`. */
  | {
      readonly kind: 'candles';
      readonly symbol: string;
      readonly interval: Interval;
      readonly from: number;
      /** Infinity: no end. */
      readonly to: number;
      readonly limit: number;
    }
  /** Stored candles that are not final, with openTime < before, ascending, at most `limit`. */
  | {
      readonly kind: 'open';
      readonly symbol: string;
      readonly interval: Interval;
      readonly before: number;
      readonly limit: number;
    }
  /** What the indicators of the candle at `before` start from. */
  | { readonly kind: 'past'; readonly symbol: string; readonly interval: Interval; readonly before: number };

/** What the indicators of a candle start from: the candles before it. */
export interface Past {
  /** Closes of the last 160 candles (fewer where there are fewer), ascending. */
  readonly closes: readonly number[];
  /** Wilder's averages after the last of them (until the 15th candle their running sums); zeros where there is none. */
  readonly avgGain: number;
  readonly avgLoss: number;
  readonly avgRange: number;
}

/** Where one series stands. */
export interface SeriesSnapshot {
  /** 0 where nothing was ever published. */
  readonly seq: number;
  /** The newest candle. */
  readonly head: Candle | null;
  /** Before the head. */
  readonly past: Past;
  /** openTime of the earliest candle before the head that is not final. */
  readonly firstOpen: number | null;
}

export type SymbolSnapshot = Readonly<Record<Interval, SeriesSnapshot>>;

/** The answer to each kind of need; answers stand in the order of the needs. */
export type Answer = SymbolSnapshot | readonly Candle[] | Past;

/** What a batch changed in one series. */
export interface SeriesChange {
  readonly interval: Interval;
  /** The series' seq before and after; equal where nothing is to be published. */
  readonly seqBefore: number;
  readonly seq: number;
  /** Candles with a new seq, ascending by openTime and by seq. */
  readonly changed: readonly Candle[];
  /** Candles that look the same from outside (minutes of which only `rev` moved): stored, not numbered, not published. */
  readonly touched: readonly Candle[];
  /** openTimes of candles that should not be there, which only a rebuild finds; each has a number, after those of `changed`. */
  readonly removed?: readonly number[];
}
