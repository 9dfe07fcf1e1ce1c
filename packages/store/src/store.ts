import type { Answer, Need, SeriesChange } from '@candlewire/candles';
import type { Interval, MarketStatus, RebuildOrder, SourceKind, SymbolRow, WireCandle } from '@candlewire/contracts';
import type { Span } from './spans';

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
  /** Minutes before it are gone or going (epoch ms, a New York midnight); null: all are kept. Only ever moves forward. */
  readonly horizon: number | null;
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
export interface CandlesPage extends SeriesState {
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

/** Which state of a series something is of: its candles are the same wherever all of it is equal. */
export interface SeriesState {
  /** Empty before the store was declared. */
  readonly epoch: string;
  /** 0 where the series does not exist. */
  readonly seq: number;
  /** Candles before it (epoch ms) are no longer shown, though not all of them may have been deleted yet; null: all are there. */
  readonly horizon: number | null;
}

/** A symbol of a rebuild, and how far it has come. */
export interface RebuildPart {
  readonly id: string;
  readonly symbol: string;
  /** New York midnight of the next day, epoch ms; null: the first that there is. */
  readonly next: number | null;
  /** Candles that were computed and compared. */
  readonly compared: number;
  /** Differences that were found, and corrected. */
  readonly found: number;
}

/** What the next step of a rebuild came to. */
export interface RebuildStep {
  readonly id: string;
  readonly symbol: string;
  /** As of {@link RebuildPart}; null: the symbol is done. */
  readonly next: number | null;
  /** Candles and differences of this step. */
  readonly compared: number;
  readonly found: number;
  /** Differences to be reported, JSON objects. */
  readonly told: readonly string[];
  readonly series: readonly SeriesChange[];
}

export interface RebuildReport {
  readonly id: string;
  readonly symbols: readonly string[];
  /** Epoch ms; null: everything. */
  readonly from: number | null;
  readonly requestedAt: number;
  /** Ascending by symbol; none of a symbol whose owner does not know of it yet. `error`: why it was given up. */
  readonly parts: readonly (RebuildPart & { readonly done: boolean; readonly error: string | null })[];
  /** The first differences of each symbol: JSON of a list, bounded. */
  readonly differencesJson: string;
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
  /** The same of all partitions, in their order. */
  allConsumed(): Promise<{ readonly id: string; readonly last: number }[]>;
  /** What the source is like, for whoever judges what is missing. */
  describeSource(facts: Omit<SourceFacts, 'calendar'>): Promise<void>;
  /** null before an ingestor has said it. */
  sourceFacts(): Promise<SourceFacts | null>;
  /** A stretch of live stream begins; what is known of those of long ago is forgotten. @returns its number */
  beginLive(from: number): Promise<number>;
  /** Of a stretch, minutes before `vouchedTo` are complete in the store; it goes on. */
  vouch(session: number, vouchedTo: number): Promise<void>;
  /** Symbols that take part in a stretch from `since` on, and those that no longer do from `until` on. */
  liveSymbols(
    session: number,
    change: {
      readonly added: readonly string[];
      readonly since: number;
      readonly removed: readonly string[];
      readonly until: number;
    },
  ): Promise<void>;
  /** Remembers ranges as to be filled; those that are known already stay as they are. */
  addFills(fills: readonly PlannedFill[]): Promise<void>;
  /** All ranges that are to be filled, what comes first first; those that had failed are to be tried once more. */
  takeUpFills(): Promise<PlannedFill[]>;
  /** How many ranges are to be filled and have not failed, for backfills that somebody asked for, and for others. */
  pendingFills(): Promise<{ readonly planned: number; readonly asked: number }>;
  /** How it goes with a range. @param bars how many more were appended */
  noteFill(
    fill: FillKey,
    note: { readonly state: FillState; readonly reason: string | null; readonly bars: number },
  ): Promise<void>;
  /** History has answered the range up to `to`, and what it said before `settledTo` it said after the day's close; all that is committed. */
  answered(fill: FillKey, to: number, settledTo: number): Promise<void>;
  /** The range needs no more work. @param reason why it could not be filled; null: it was */
  endFill(fill: FillKey, reason: string | null): Promise<void>;
  /** Backfills that are not finished, the oldest first, bounded. */
  openBackfills(): Promise<OpenBackfill[]>;
  /** How many jobs each symbol of a backfill takes. */
  planBackfill(id: string, jobs: number): Promise<void>;
  finishBackfill(id: string, reason: string | null): Promise<void>;

  // completeness (gateway)
  /** openTimes of the stored minutes within a span, ascending, at most `limit`. */
  minutes(symbol: string, within: Span, limit: number): Promise<number[]>;
  /**
   * Asks for a backfill, or finds the one that is under way for the same.
   * @param wanted what it is for: equal texts are one backfill until it is finished
   * @returns its id; null: too many are waiting
   */
  requestBackfill(wanted: string, symbols: readonly string[], span: Span): Promise<string | null>;
  /** null: there is none. */
  backfill(id: string): Promise<BackfillReport | null>;

  // rebuilds (asked for by a gateway, ordered by the ingestor, carried out by the aggregator)
  /**
   * Asks for a rebuild under a new id.
   * @returns what stands against it: symbols that were never seen; or nothing but that too many rebuilds wait
   */
  requestRebuild(
    id: string,
    symbols: readonly string[],
    from: number | null,
  ): Promise<{ readonly made: boolean; readonly unknown: readonly string[] }>;
  /** How far a rebuild has come; null: there is none. */
  rebuild(id: string): Promise<RebuildReport | null>;
  /** Orders to be appended to the journals now: some may have been before, which does no harm. */
  relayRebuilds(): Promise<{ readonly partition: number; readonly order: RebuildOrder }[]>;
  /** The owner knows of an order. Once more: nothing. */
  beginRebuild(partition: number, order: RebuildOrder): Promise<void>;
  /** What the partition's owner is to do, in this order. */
  openRebuilds(partition: number): Promise<RebuildPart[]>;
  /** A {@link commit} of corrections of one symbol, and of the progress that they are. */
  commitRebuild(partition: number, fence: number, position: Position, step: RebuildStep): Promise<number | null>;
  /** Gives up a symbol of a rebuild. */
  failRebuild(id: string, symbol: string, error: string): Promise<void>;

  // retention (aggregator; gateway for what is kept)
  /** Moves the partition's horizon forward, before anything is deleted. @returns where it is now; null: fenced */
  moveHorizon(partition: number, fence: number, horizon: number): Promise<number | null>;
  /** From when on the minutes of all of these symbols are kept, epoch ms: bars before it are refused. null: all are kept. */
  keptFrom(symbols: readonly string[]): Promise<number | null>;
  /** Symbols of the partition that have minutes, ascending. */
  minuteSymbols(partition: number): Promise<string[]>;
  /**
   * Deletes the oldest minutes of a symbol before the horizon, but for those that the next ones are computed from.
   * @returns how many; fewer than `limit`: there are no more, or the fence no longer holds
   */
  deleteMinutes(partition: number, fence: number, symbol: string, limit: number): Promise<number>;
}

/** How far back and forth the store knows a symbol. */
export interface StoredHistory {
  readonly symbol: string;
  /** openTime of the newest 1m candle, null where there is none. */
  readonly lastOpenTime: number | null;
  /** From when on the source was asked for bars, epoch ms; null: never. */
  readonly historyFrom: number | null;
  /** Earlier bars are refused, epoch ms; null: none is. */
  readonly horizon: number | null;
  /** What history has answered, ascending. A minute in it without a bar had no trade. */
  readonly answered: readonly Span[];
  /** What it has answered after the day's close: nothing more will come of it. */
  readonly settled: readonly Span[];
  readonly live: readonly LiveStretch[];
  /** Ranges that are to be filled without anybody having asked, ascending; those that failed among them. */
  readonly pending: readonly PendingFill[];
}

/** A stretch of live stream that a symbol took part in: its minutes in from <= openTime < to are complete in the store. */
export interface LiveStretch extends Span {
  readonly session: number;
  /** The symbol still takes part, and the stretch was heard of lately: `to` is going to move. */
  readonly goesOn: boolean;
}

export interface PendingFill extends Span {
  readonly state: FillState;
  readonly reason: string | null;
}

/** `waiting`: for the source, or for another try, as the reason says. */
export type FillState = 'queued' | 'running' | 'waiting' | 'failed';

/** A range that is to be filled: from <= openTime < to. */
export interface FillKey extends Span {
  readonly symbol: string;
  /** Who asked for it; '' where nobody did. */
  readonly backfill: string;
}

export interface PlannedFill extends FillKey {
  /** The least is looked at first. */
  readonly priority: number;
}

export interface SourceFacts {
  /** In which of these the source delivers bars. */
  readonly statuses: readonly MarketStatus[];
  readonly hasHistory: boolean;
  /** Of the store. */
  readonly calendar: StoreIdentity['calendar'];
}

/** A backfill that is not finished. */
export interface OpenBackfill extends Span {
  readonly id: string;
  readonly parts: readonly {
    readonly symbol: string;
    /** What needs no more work. */
    readonly done: readonly Span[];
    readonly pending: readonly Span[];
    /** null before it was planned. */
    readonly jobsTotal: number | null;
    readonly reason: string | null;
  }[];
}

export interface BackfillReport extends Span {
  readonly id: string;
  readonly requestedAt: number;
  readonly finishedAt: number | null;
  /** Why all of it failed. */
  readonly reason: string | null;
  /** Ascending by symbol. `reason`: why some of it failed, or what is waited for. */
  readonly parts: readonly {
    readonly symbol: string;
    readonly jobsDone: number;
    readonly jobsTotal: number | null;
    readonly bars: number;
    readonly running: number;
    readonly failed: boolean;
    readonly reason: string | null;
  }[];
}

/** The store belongs to another source, calendar or number of partitions. */
export class StoreMismatch extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreMismatch';
  }
}
