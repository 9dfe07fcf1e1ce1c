import { isDay, parseSymbol } from '@candlewire/contracts';
import { type PagePosition, parsePageToken } from './page-token';
import { parseTimeframe, type Timeframe } from './timeframe';
import { parseTimestamp } from './timestamp';

export const PAGE_LIMIT_DEFAULT = 1_000;
export const PAGE_LIMIT_MAX = 10_000;

/** What `GET /v2/stocks/bars` and `/v2/stocks/{symbol}/bars` ask for. */
export interface BarsQuery {
  /** In upper case, each once, sorted: the order of the answer. */
  readonly symbols: readonly string[];
  readonly timeframe: Timeframe;
  /** Inclusive, epoch ms; rounded up where the request was finer. */
  readonly startMs: number;
  /** Inclusive, epoch ms, rounded down; null: not given, up to now. */
  readonly endMs: number | null;
  /** Bars of a page, over all symbols. */
  readonly limit: number;
  readonly sort: 'asc' | 'desc';
  /** As asked for; null: the best that the client may have. */
  readonly feed: string | null;
  readonly adjustment: string;
  /** The page before ended here; null: the first page. */
  readonly after: PagePosition | null;
}

/** What the dates of a request mean. */
export interface QueryTime {
  /** Where bars begin if no start is given. */
  readonly todayMs: number;
  /** First ms and exclusive end of a date `YYYY-MM-DD` that exists. */
  readonly day: (date: string) => { readonly fromMs: number; readonly toMs: number };
}

/** An answer that is no success. */
export interface RestError {
  readonly status: number;
  readonly message: string;
  /** Alpaca's own number where it gives one, as 42210000. */
  readonly code?: number;
}

export function isRestError(value: object): value is RestError {
  return 'status' in value && 'message' in value;
}

/** @param symbol of the path, where the symbol stands there */
export function parseBarsQuery(params: URLSearchParams, time: QueryTime, symbol?: string): BarsQuery | RestError {
  const symbols = parseSymbols(symbol === undefined ? params : new URLSearchParams({ symbols: symbol }));
  if (isRestError(symbols)) return symbols;
  const timeframe = parseTimeframe(params.get('timeframe') ?? '');
  if (timeframe === null) return bad(`invalid timeframe: ${params.get('timeframe') ?? ''}`);
  const start = boundOf(params.get('start'), time);
  const end = boundOf(params.get('end'), time);
  if (start === null) return bad('invalid start: must be RFC-3339 or YYYY-MM-DD');
  if (end === null) return bad('invalid end: must be RFC-3339 or YYYY-MM-DD');
  const limit = params.get('limit') || String(PAGE_LIMIT_DEFAULT);
  if (!/^\d{1,6}$/.test(limit) || Number(limit) < 1 || Number(limit) > PAGE_LIMIT_MAX) {
    return bad(`invalid limit: must be from 1 to ${PAGE_LIMIT_MAX}`);
  }
  const sort = params.get('sort') || 'asc';
  if (sort !== 'asc' && sort !== 'desc') return bad('invalid sort: must be asc or desc');
  const token = params.get('page_token');
  const after = token ? parsePageToken(token, timeframe.unit) : null;
  if (token && (after === null || !symbols.includes(after.symbol))) return bad('invalid page_token');
  const startMs = start === 'absent' ? time.todayMs : start.ceilMs;
  const endMs = end === 'absent' ? null : end.lastMs;
  if (endMs !== null && endMs < startMs) return bad('end should not be before start');
  return {
    symbols,
    timeframe,
    startMs,
    endMs,
    limit: Number(limit),
    sort,
    feed: params.get('feed') || null,
    adjustment: params.get('adjustment') || 'raw',
    after,
  };
}

/** `symbols=A,B` and `symbols=A&symbols=B`: one of the official clients sends the latter. */
export function parseSymbols(params: URLSearchParams): readonly string[] | RestError {
  const symbols = new Set<string>();
  for (const text of params.getAll('symbols').flatMap((list) => list.split(','))) {
    const symbol = parseSymbol(text);
    if (symbol === null) return bad(`invalid symbol: ${text}`);
    symbols.add(symbol);
  }
  return symbols.size === 0 ? bad('symbols is required') : [...symbols].sort();
}

interface Bound {
  readonly ceilMs: number;
  readonly lastMs: number;
}

function boundOf(text: string | null, time: QueryTime): Bound | 'absent' | null {
  if (!text) return 'absent';
  if (isDay(text)) {
    const { fromMs, toMs } = time.day(text);
    return { ceilMs: fromMs, lastMs: toMs - 1 };
  }
  // A `+` that nobody escaped arrives as a space.
  const instant = parseTimestamp(text.replace(/ (\d\d:\d\d)$/, '+$1'));
  return instant && { ceilMs: instant.ns > 0 ? instant.ms + 1 : instant.ms, lastMs: instant.ms };
}

function bad(message: string): RestError {
  return { status: 400, message };
}
