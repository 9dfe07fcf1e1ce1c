import type { RestError } from './bars-query';
import type { TradeMessage } from './messages';

/** A trade in an answer of the REST API. */
export type WireTrade = Omit<TradeMessage, 'T' | 'S'>;

/** Answers as JSON texts, put together from rows that are JSON already (`encodeWireBar`). */

/** `GET /v2/stocks/bars`. Symbols without rows are left out. */
export function barsBody(rows: ReadonlyMap<string, readonly string[]>, nextPageToken: string | null): string {
  const lists = [...rows]
    .filter(([, list]) => list.length > 0)
    .map(([symbol, list]) => `"${symbol}":[${list.join(',')}]`);
  return `{"bars":{${lists.join(',')}},"next_page_token":${JSON.stringify(nextPageToken)}}`;
}

/** `GET /v2/stocks/{symbol}/bars` */
export function singleBarsBody(symbol: string, rows: readonly string[], nextPageToken: string | null): string {
  return `{"bars":[${rows.join(',')}],"symbol":"${symbol}","next_page_token":${JSON.stringify(nextPageToken)}}`;
}

/** `GET /v2/stocks/{kind}/latest`: symbols of which nothing is known are left out. */
export function latestBody(kind: 'bars' | 'trades', rows: ReadonlyMap<string, string>): string {
  return `{"${kind}":{${[...rows].map(([symbol, row]) => `"${symbol}":${row}`).join(',')}}}`;
}

/** `GET /v2/stocks/{symbol}/{kind}/latest` */
export function singleLatestBody(kind: 'bar' | 'trade', symbol: string, row: string): string {
  return `{"symbol":"${symbol}","${kind}":${row}}`;
}

export function errorBody({ code, message }: RestError): string {
  return JSON.stringify(code === undefined ? { message } : { code, message });
}

export const FORBIDDEN: RestError = { status: 403, message: 'forbidden.' };
export const RECENT_SIP: RestError = {
  status: 403,
  message: 'subscription does not permit querying recent SIP data',
};
export const TOO_MANY_REQUESTS: RestError = { status: 429, message: 'too many requests.' };

/** Without real-time SIP, that feed ends so long before now. */
export const SIP_DELAY_MS = 900_000;

/** A trading day of `GET /v2/calendar`. Wall clock of New York without zone, in two forms. */
export interface CalendarRow {
  /** `2026-11-27` */
  readonly date: string;
  /** Of the regular session, `09:30` */
  readonly open: string;
  readonly close: string;
  /** Of pre and post, `0400` */
  readonly session_open: string;
  readonly session_close: string;
  readonly settlement_date: string;
}

/** `GET /v2/clock`; times RFC 3339 with the offset of New York. */
export interface ClockBody {
  readonly timestamp: string;
  readonly is_open: boolean;
  readonly next_open: string;
  readonly next_close: string;
}

/** A row of `GET /v2/assets`, as far as anyone reads it. */
export interface AssetRow {
  readonly id: string;
  readonly class: string;
  readonly exchange: string;
  readonly symbol: string;
  readonly name: string;
  readonly status: 'active' | 'inactive';
  readonly tradable: boolean;
  readonly marginable: boolean;
  readonly shortable: boolean;
  readonly easy_to_borrow: boolean;
  readonly fractionable: boolean;
}
