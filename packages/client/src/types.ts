/** Candle widths. `1d` is a New York calendar date, the others are fixed widths of UTC. */
export type Interval = '1m' | '5m' | '1h' | '1d';

/** Where the exchange stood at the candle's start. */
export type MarketStatus = 'pre' | 'regular' | 'post' | 'closed';

/** A candle. Its identity is (symbol, interval, timestamp); symbol and interval stand in what surrounds it. */
export interface Candle {
  /** Left edge, UTC, `2025-11-03T14:30:00Z`; of a 1d candle the New York midnight. */
  readonly timestamp: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  /** null where the volume is 0 or a minute lacks it. */
  readonly vwap: number | null;
  /** null where a minute lacks it. */
  readonly trade_count: number | null;
  readonly market_status: MarketStatus;
  /** Average true range of 14 candles (Wilder); null before the 15th candle. */
  readonly ATR: number | null;
  /** Relative strength index of 14 candles (Wilder), 0..100; null before the 15th candle. */
  readonly RSI: number | null;
  /** Means of the last 40, 80 and 160 closes; null before there are so many. */
  readonly MA40: number | null;
  readonly MA80: number | null;
  readonly MA160: number | null;
  /** The clock has passed the candle's end and its grace. A late bar or a correction may change it still; it stays final. */
  readonly final: boolean;
  /** 1 when the candle appears, +1 for each published change of it. */
  readonly revision: number;
  /** Number of the change, in its (symbol, interval), that made the candle what it is. */
  readonly seq: number;
}

/** One (symbol, interval). */
export interface Series {
  readonly symbol: string;
  readonly interval: Interval;
}

/** A place in the changes of a series: all up to `seq` are known. `epoch` is the life of the numbers, another one in another store. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** A candle that says whose it is: what the iterators yield. */
export interface SeriesCandle extends Candle, Series {
  readonly epoch: string;
}

/** The latest price of a symbol; best effort, the next one replaces it. */
export interface PriceUpdate {
  readonly type: 'price_update';
  readonly symbol: string;
  readonly price: number;
  /** Against the close of the symbol's last 1d candle before the price's New York date; null if there is none. */
  readonly change: number | null;
  readonly change_percent: number | null;
  /** RFC 3339 UTC: the tick's time, or the minute. */
  readonly timestamp: string;
  /** Volume of the price's minute so far. */
  readonly volume: number;
}

/** All that is to be shown of a series from now on, ascending, as of `seq`; every later change follows as a {@link CandleEvent}. */
export interface SnapshotEvent extends Series, Position {
  readonly type: 'snapshot';
  readonly candles: readonly Candle[];
}

/** A candle appeared or changed. `seq` grows with each event of a series. */
export interface CandleEvent extends Series, Position {
  readonly type: 'candle';
  readonly candle: Candle;
}

/** What was known of the series is void: its numbers began anew, or too much was missed. A {@link SnapshotEvent} follows. */
export interface ResetEvent extends Series, Position {
  readonly type: 'reset';
}

/** We read too slowly: so many states were left out. Of no candle the last one is missing. */
export interface SkippedEvent extends Series {
  readonly type: 'skipped';
  readonly count: number;
}

/**
 * Those of the symbols that a subscription follows which the source does not deliver now, ascending: there are more than its
 * plan takes, or it refused them. Empty: all are delivered, as far as is known.
 */
export interface LeftOutEvent {
  readonly type: 'left_out';
  readonly symbols: readonly string[];
}

/** What happens to a followed series. */
export type SeriesEvent = SnapshotEvent | CandleEvent | ResetEvent | SkippedEvent;

/** A page of `GET /api/candles/{symbol}`: ascending; `epoch` and `seq` say of which state of the series it is. */
export interface CandlesPage extends Series, Position {
  readonly candles: readonly Candle[];
  /** For the next page in the same direction; null where there is no further candle. */
  readonly next_cursor: string | null;
}

/** A symbol that was ever registered or seen. */
export interface SymbolRow {
  readonly symbol: string;
  /** null where nobody gave it one. */
  readonly name: string | null;
  /** Registered, and so delivered. */
  readonly active: boolean;
  /** Close of its newest minute, and that minute (UTC); null before the first bar. */
  readonly last_price: number | null;
  readonly last_timestamp: string | null;
}

/** Widths as charts call them: {@link HistoricalPage}. */
export type Timeframe = '1Min' | '5Min' | '1Hour' | '1Day';

/** A candle for a chart; `timestamp` with New York's offset. */
export interface HistoricalRow
  extends Pick<
    Candle,
    | 'timestamp'
    | 'open'
    | 'high'
    | 'low'
    | 'close'
    | 'volume'
    | 'market_status'
    | 'ATR'
    | 'RSI'
    | 'MA40'
    | 'MA80'
    | 'MA160'
  > {}

/** `GET /api/symbols/{symbol}/historical`: the newest candles, ascending. */
export interface HistoricalPage {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly data: readonly HistoricalRow[];
}

/** `GET /api/symbols/{symbol}/latest`: the newest minute; `timestamp` with New York's offset. */
export interface LatestPrice
  extends Pick<Candle, 'timestamp' | 'open' | 'high' | 'low' | 'close' | 'volume' | 'market_status'> {
  readonly symbol: string;
  readonly price: number;
  /** null where there is no earlier day. */
  readonly change: number | null;
  readonly change_percent: number | null;
}

/** What the data come from, and how that does. */
export type SourceKind = 'simulator' | 'alpaca' | 'replay';
export type FeedState = 'connecting' | 'live' | 'backfilling' | 'finished' | 'failed';

/** What a gateway needs, and whether it has it. */
export interface ReadyChecks {
  readonly postgres: { readonly ok: boolean };
  readonly redis: { readonly ok: boolean; readonly bus: 'redis' | 'in-process' };
  readonly aggregator: { readonly ok: boolean; readonly owned: number; readonly partitions: number };
  readonly feed: {
    readonly ok: boolean;
    readonly state: FeedState;
    /** When the last bar arrived, RFC 3339; null before the first. */
    readonly last_bar_at: string | null;
    readonly session: MarketStatus | null;
  };
}

/** `GET /ready`, 200 and 503 alike. */
export interface Readiness {
  readonly status: 'ready' | 'not_ready';
  readonly checks: ReadyChecks;
}

/** `GET /api/health`: as {@link Readiness}, for people. */
export interface Status {
  readonly status: 'healthy' | 'degraded';
  readonly checks: ReadyChecks;
  readonly source: {
    readonly kind: SourceKind | null;
    readonly state: FeedState;
    /** Why it failed, or is not live; absent where there is nothing to tell. */
    readonly reason?: string | undefined;
    /** Symbols that are wanted and not delivered; absent where there are none. */
    readonly left_out?: readonly string[] | undefined;
  };
}

/** `GET /health`: the process lives. */
export interface Liveness {
  readonly status: 'ok';
}
