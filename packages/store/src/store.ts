import type { Answer, Need, SeriesChange } from '@candlewire/candles';
import type { Interval, SourceKind, SymbolRow, WireCandle } from '@candlewire/contracts';

/** What a store is, for its whole life. */
export interface StoreIdentity {
  /** Life of the seq numbers: random, made with the store, kept over restarts. */
  readonly epoch: string;
  readonly source: SourceKind;
  readonly calendar: 'nyse' | '24x7';
  readonly partitions: number;
}

/** Where a partition's owner stands. */
export interface Position {
  /** null before the first entry of any journal. */
  readonly journalId: string | null;
  /** Number of the last entry whose effect is stored. */
  readonly entry: number;
  /** Greatest clock of the entries so far, epoch ms; null before the first. */
  readonly clock: number | null;
}

/** A partition that was taken over: commits must name its fence. */
export interface Claim extends Position {
  readonly partition: number;
  readonly fence: number;
  readonly commitNo: number;
}

/** What one commit changed for one symbol. */
export interface SymbolChange {
  readonly symbol: string;
  readonly series: readonly SeriesChange[];
}

/** One series as its last commit left it, for publishing again. */
export interface Unpublished {
  readonly symbol: string;
  readonly change: SeriesChange;
}

export interface CandlesQuery {
  readonly symbol: string;
  readonly interval: Interval;
  /** 'back': the newest `limit` candles in the range; 'forward': the oldest. Answered ascending in both cases. */
  readonly direction: 'back' | 'forward';
  /** Inclusive, epoch ms. */
  readonly from: number | null;
  readonly to: number | null;
  readonly limit: number;
}

/** Candles as JSON text, made in Postgres, so that a gateway passes bytes on. All of one snapshot of the series. */
export interface CandlesPage {
  /** Empty before the store was declared. */
  readonly epoch: string;
  /** 0 where the series does not exist. */
  readonly seq: number;
  /** JSON of the candles, ascending: `{...},{...}`; empty string where there is none. */
  readonly candlesJson: string;
  readonly count: number;
  /** openTime of the next candle in the direction, null where there is none. */
  readonly next: number | null;
}

export interface ChangesQuery {
  readonly symbol: string;
  readonly interval: Interval;
  /** Changes with a greater seq. */
  readonly after: number;
  readonly limit: number;
}

/** What changed in a series, each candle in its last state and hence once. All of one snapshot of the series. */
export interface ChangesPage {
  readonly epoch: string;
  /** Of the series; 0 where it does not exist. */
  readonly seq: number;
  /** Ascending by seq. `candleJson` as in {@link CandlesPage}. */
  readonly changes: readonly { readonly seq: number; readonly candleJson: string }[];
}

/** Where some series stand. All of one snapshot. */
export interface SeriesHeads {
  /** Empty before the store was declared. */
  readonly epoch: string;
  /** In the order in which they were asked for; 0 where a series does not exist. */
  readonly seqs: readonly number[];
}

/** Which state of a series something is of: its candles are the same wherever both are equal. */
export interface SeriesState {
  readonly epoch: string;
  readonly seq: number;
}

/** The newest of a symbol, from which its price follows. */
export interface Latest {
  readonly symbol: string;
  /** The newest 1m candle. */
  readonly candle: WireCandle;
  /** Close of the last 1d candle before the New York date of that minute; null where there is none. */
  readonly reference: number | null;
}

/** The store serves every service; each uses the part it needs. */
export interface Store {
  /** The store's identity, null before {@link declare}. */
  identity(): Promise<StoreIdentity | null>;
  /** Makes the identity where there is none. Throws {@link StoreMismatch} where it is another (by name). */
  declare(wanted: Omit<StoreIdentity, 'epoch'>): Promise<StoreIdentity>;
  ping(timeoutMs?: number): Promise<boolean>;
  close(): Promise<void>;

  // ownership (aggregator)
  /**
   * Says that `owner` lives for `leaseMs` more and extends the leases of what it holds.
   * @returns how many owners live, and which of its partitions it still holds
   */
  beat(owner: string, leaseMs: number, held: ReadonlyMap<number, number>): Promise<{ owners: number; held: number[] }>;
  /** Takes over at most `countMax` partitions that nobody holds or whose lease ran out (by Postgres's clock), each with a new fence. */
  claim(owner: string, leaseMs: number, countMax: number): Promise<Claim[]>;
  /** Gives partitions back, with their fences; those that are no longer held are passed over. */
  release(held: ReadonlyMap<number, number>): Promise<void>;
  /** `owner` is gone: its presence and all that it holds. */
  leave(owner: string): Promise<void>;
  /** How many partitions have a living owner. */
  owned(): Promise<number>;
  /** Owners that live, by Postgres's clock, ascending; whether they hold partitions or not. */
  owners(): Promise<string[]>;

  // candles (aggregator)
  /** Symbols of the partition with candles that are not final: whom the clock alone may change. */
  openSymbols(partition: number): Promise<string[]>;
  /** Answers in the order of the needs, a round trip for each kind of need. */
  answer(needs: readonly Need[]): Promise<Answer[]>;
  /**
   * Stores the changes and the position in one statement, if the fence still holds.
   * @returns the commit's number; null: fenced, and nothing was written
   */
  commit(
    partition: number,
    fence: number,
    position: Position,
    changes: readonly SymbolChange[],
  ): Promise<number | null>;
  /** What the partition's last commit changed, that its owner may have died before publishing. */
  lastCommit(partition: number): Promise<Unpublished[]>;

  // reads (gateway)
  candles(query: CandlesQuery): Promise<CandlesPage>;
  /** The next `limit` changes of a series: `since`, gaps and slow readers are all answered by this. */
  changes(query: ChangesQuery): Promise<ChangesPage>;
  /** Where one series stands, null where it has no candles: the cheapest read there is, to tell whether a kept page still holds. */
  head(symbol: string, interval: Interval): Promise<SeriesState | null>;
  /** Where these series stand: what a reader that may have lost messages compares with. */
  heads(wanted: readonly { readonly symbol: string; readonly interval: Interval }[]): Promise<SeriesHeads>;
  /** The newest minutes of these symbols, in their order, in one round trip; symbols without a minute are left out. */
  latest(symbols: readonly string[]): Promise<Latest[]>;
  /** All symbols, ascending, or the row of one. */
  symbols(only?: string): Promise<SymbolRow[]>;
  /** Whether a symbol was ever seen or registered. */
  knowsSymbol(symbol: string): Promise<boolean>;
  /**
   * Registers symbols: unknown ones become known, all of them active. A name replaces the one before, null leaves it.
   * @returns those that were unknown, ascending
   */
  register(wanted: readonly { readonly symbol: string; readonly name: string | null }[]): Promise<string[]>;
  /** A symbol is no longer to be delivered; its candles stay. @returns false where it is unknown */
  deactivate(symbol: string): Promise<boolean>;

  // filling (ingestor)
  /** Symbols that are to be delivered, ascending. */
  activeSymbols(): Promise<string[]>;
  /** What is stored of the active symbols, or of those of `only` that are active; ascending by symbol, all of one snapshot. */
  historyOf(only?: readonly string[]): Promise<StoredHistory[]>;
  /** The source is being asked for bars of these symbols from `from` (epoch ms) on; an earlier time that is known stays. */
  historyBegins(symbols: readonly string[], from: number): Promise<void>;
  /** How far the partition's journal has been stored: everything up to entry `last` of journal `id`, which is '' before the first. */
  consumed(partition: number): Promise<{ readonly id: string; readonly last: number }>;
}

/** How far back and forth the store knows a symbol. */
export interface StoredHistory {
  readonly symbol: string;
  /** openTime of the newest 1m candle, null where there is none. */
  readonly lastOpenTime: number | null;
  /** From when on the source was asked for bars, epoch ms; null: never. */
  readonly historyFrom: number | null;
}

/** The store belongs to another source, calendar or number of partitions. */
export class StoreMismatch extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreMismatch';
  }
}
