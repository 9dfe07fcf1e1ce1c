import {
  type AssetRow,
  type BarsQuery,
  barsBody,
  encodePageToken,
  encodeWireBar,
  errorBody,
  isRestError,
  latestBody,
  parseBarsQuery,
  parseSymbols,
  RECENT_SIP,
  type RestError,
  SIP_DELAY_MS,
  singleBarsBody,
  singleLatestBody,
} from '@candlewire/alpaca';
import { newYorkMidnight } from '@candlewire/candles';
import { type Bar, DAY_MS, HOUR_MS, isDay, MINUTE_MS, parseInstant } from '@candlewire/contracts';
import type { RequestFault } from './faults';
import { wireTrade } from './feed';
import { type AlpacaMarket, type MarketTrade, openMinutes, widened } from './market';
import { calendarRows, clockBody } from './sessions';

export interface RestAnswer {
  readonly status: number;
  readonly body: string;
}

/** What an answer depends on besides the request. */
export interface RestContext {
  readonly market: AlpacaMarket;
  readonly nowMs: number;
  /** The plan has real-time SIP. */
  readonly sip: boolean;
  readonly fault: RequestFault | null;
}

const FEEDS = ['sip', 'iex', 'boats', 'otc', 'delayed_sip', 'overnight'];
const LOOK_BACK_MS = 10 * DAY_MS;
const CALENDAR_SPAN_MS = 365 * DAY_MS;
const NOT_FOUND: RestError = { status: 404, message: 'endpoint not found.' };

/** The answer to a GET: the market as it is known at `nowMs`, nothing later. */
export function answer(path: string, query: URLSearchParams, context: RestContext): RestAnswer {
  const result = route(path, query, context);
  return typeof result === 'string'
    ? { status: 200, body: result }
    : { status: result.status, body: errorBody(result) };
}

function route(path: string, query: URLSearchParams, context: RestContext): string | RestError {
  const [, version, group, ...rest] = path.split('/');
  if (version !== 'v2') return NOT_FOUND;
  if (group === 'stocks') return stocks(rest, query, context);
  const { market, nowMs } = context;
  if (group === 'clock' && rest.length === 0) return JSON.stringify(clockBody(market.calendar, nowMs));
  if (group === 'calendar' && rest.length === 0) return calendarBody(query, context);
  if (group === 'assets') return assets(rest, query, market);
  return NOT_FOUND;
}

function stocks(rest: readonly string[], query: URLSearchParams, context: RestContext): string | RestError {
  switch (rest.join('/')) {
    case 'bars':
      return bars(query, context);
    case 'bars/latest':
      return latest('bars', query, context);
    case 'trades/latest':
      return latest('trades', query, context);
    case 'snapshots':
      return snapshots(query, context);
  }
  const [symbol, ...tail] = rest;
  switch (tail.join('/')) {
    case 'bars':
      return bars(query, context, symbol);
    case 'bars/latest':
      return latest('bars', query, context, symbol);
    case 'trades/latest':
      return latest('trades', query, context, symbol);
    case 'snapshot':
      return snapshots(query, context, symbol);
    default:
      return NOT_FOUND;
  }
}

function bars(params: URLSearchParams, context: RestContext, symbol?: string): string | RestError {
  const { market, nowMs, fault } = context;
  const { calendar } = market;
  const day = (date: string) => {
    const fromMs = newYorkMidnight(date);
    return { fromMs, toMs: calendar.nextDay(fromMs) };
  };
  const query = parseBarsQuery(params, { todayMs: calendar.openTimeOf('1d', nowMs), day }, symbol);
  if (isRestError(query)) return query;
  if (query.timeframe.unit === 'Week' || query.timeframe.unit === 'Month') {
    return { status: 400, message: 'the fake has no weeks and months' };
  }
  const endMs = endOf(query, context);
  if (typeof endMs !== 'number') return endMs;
  const limit = fault !== null && 'shortPage' in fault ? Math.min(fault.shortPage, query.limit) : query.limit;
  const { rows, last } = pageOf(query, endMs, limit, context);
  let token = last === null ? null : encodePageToken(last, query.timeframe.unit);
  if (fault !== null && 'repeatToken' in fault) token = params.get('page_token') ?? token;
  if (fault !== null && 'nullBars' in fault) return `{"bars":null,"next_page_token":null}`;
  return symbol === undefined
    ? barsBody(rows, token)
    : singleBarsBody(query.symbols[0]!, rows.get(query.symbols[0]!) ?? [], token);
}

/** The end that the plan allows. */
function endOf({ feed, endMs }: BarsQuery, { nowMs, sip }: RestContext): number | RestError {
  if (feed !== null && !FEEDS.includes(feed)) return { status: 400, message: `invalid feed: ${feed}` };
  const wall = sip || (feed !== null && feed !== 'sip') ? nowMs : nowMs - SIP_DELAY_MS;
  if (endMs === null) return wall;
  return wall < nowMs && endMs > wall ? RECENT_SIP : endMs;
}

interface Page {
  readonly rows: ReadonlyMap<string, readonly string[]>;
  /** The last bar of a page that is not the last one. */
  readonly last: { readonly symbol: string; readonly openTime: number } | null;
}

/** Hot: ten thousand bars in a page, by symbol first, then by time. */
function pageOf(query: BarsQuery, endMs: number, limit: number, context: RestContext): Page {
  const { after, symbols, sort } = query;
  const rows = new Map<string, string[]>();
  let last: Page['last'] = null;
  let left = limit;
  for (const symbol of symbols) {
    if (after !== null && symbol < after.symbol) continue;
    const behind = after?.symbol === symbol ? after.openTime : null;
    const fromMs = behind !== null && sort === 'asc' ? behind + 1 : query.startMs;
    const toMs = behind !== null && sort === 'desc' ? behind - 1 : endMs;
    const list: string[] = [];
    for (const bar of barsOf(symbol, fromMs, toMs, query, context)) {
      if (left === 0) return { rows, last };
      if (list.length === 0) rows.set(symbol, list);
      list.push(encodeWireBar(bar));
      last = { symbol, openTime: bar.openTime };
      left--;
    }
  }
  return { rows, last: null };
}

/** Bars with fromMs <= t <= toMs, a day at a time. */
function* barsOf(
  symbol: string,
  fromMs: number,
  toMs: number,
  { timeframe: { amount, unit }, sort }: BarsQuery,
  { market, nowMs }: RestContext,
): Generator<Bar> {
  if (!market.isListed(symbol)) return;
  const { calendar } = market;
  const isDaily = unit === 'Day';
  const dayOf = (ms: number) => (isDaily ? calendar.openTimeOf('1d', ms) : Math.floor(ms / DAY_MS) * DAY_MS);
  const after = (day: number) => (isDaily ? calendar.nextDay(day) : day + DAY_MS);
  const barsOfDay = (day: number): Bar[] => {
    if (isDaily) return [market.day(symbol, day, nowMs)].filter((bar) => bar !== null);
    const widthMs = amount * (unit === 'Hour' ? HOUR_MS : MINUTE_MS);
    const from = Math.max(day, day + Math.ceil((fromMs - day) / widthMs) * widthMs);
    const to = Math.min(day + DAY_MS, toMs + widthMs);
    const minutes = market.history(symbol, from, to, nowMs);
    return widthMs === MINUTE_MS ? minutes : rolledUp(minutes, day, widthMs);
  };
  const within = ({ openTime }: Bar) => openTime >= fromMs && openTime <= toMs;
  if (sort === 'asc') {
    for (let day = dayOf(fromMs); day <= Math.min(toMs, nowMs); day = after(day)) yield* barsOfDay(day).filter(within);
  } else {
    for (let day = dayOf(Math.min(toMs, nowMs)); after(day) > fromMs; day = dayOf(day - 1)) {
      yield* barsOfDay(day).filter(within).reverse();
    }
  }
}

function rolledUp(minutes: readonly Bar[], day: number, widthMs: number): Bar[] {
  const wide = new Map<number, { bar: Bar; turnover: number }>();
  for (const minute of minutes) {
    const openTime = day + Math.floor((minute.openTime - day) / widthMs) * widthMs;
    const before = wide.get(openTime);
    const turnover = (before?.turnover ?? 0) + minute.vwap! * minute.volume;
    wide.set(openTime, { bar: widened(before?.bar ?? null, minute, openTime), turnover });
  }
  return [...wide.values()].map(({ bar, turnover }) => ({
    ...bar,
    vwap: Math.round((turnover / bar.volume) * 10_000) / 10_000,
  }));
}

function latest(
  kind: 'bars' | 'trades',
  query: URLSearchParams,
  context: RestContext,
  symbol?: string,
): string | RestError {
  const symbols = latestSymbols(query, context, symbol);
  if (isRestError(symbols)) return symbols;
  const delayMs = query.get('feed') === 'delayed_sip' ? SIP_DELAY_MS : 0;
  const then = { ...context, nowMs: context.nowMs - delayMs };
  const rowOf = (name: string): string | null => {
    if (kind === 'trades') {
      const trade = latestTrade(name, then);
      return trade && JSON.stringify(wireTrade(trade));
    }
    const bar = latestBar(name, then);
    return bar && encodeWireBar(bar);
  };
  if (symbol !== undefined) {
    const row = rowOf(symbols[0]!);
    const singular = kind === 'bars' ? 'bar' : 'trade';
    return row === null
      ? { status: 404, message: `no ${singular} found for ${symbols[0]}` }
      : singleLatestBody(singular, symbols[0]!, row);
  }
  const rows = symbols.map((name) => [name, rowOf(name)] as const);
  return latestBody(kind, new Map(rows.filter((row): row is [string, string] => row[1] !== null)));
}

/** The newest data of SIP is not for every plan. */
function latestSymbols(query: URLSearchParams, { sip }: RestContext, symbol?: string): readonly string[] | RestError {
  if (query.get('feed') === 'sip' && !sip) return RECENT_SIP;
  return parseSymbols(symbol === undefined ? query : new URLSearchParams({ symbols: symbol }));
}

function snapshots(query: URLSearchParams, context: RestContext, symbol?: string): string | RestError {
  const symbols = latestSymbols(query, context, symbol);
  if (isRestError(symbols)) return symbols;
  const { market, nowMs } = context;
  const today = market.calendar.openTimeOf('1d', nowMs);
  const row = (bar: Bar | null): unknown => bar && JSON.parse(encodeWireBar(bar));
  const snapshotOf = (name: string) => {
    const trade = latestTrade(name, context);
    let day = today - 1;
    while (nowMs - day < LOOK_BACK_MS && market.day(name, day, nowMs) === null) day -= DAY_MS;
    return {
      latestTrade: trade && wireTrade(trade),
      minuteBar: row(latestBar(name, context)),
      dailyBar: row(market.day(name, today, nowMs)),
      prevDailyBar: row(market.day(name, day, nowMs)),
    };
  };
  if (symbol !== undefined) return JSON.stringify({ symbol: symbols[0], ...snapshotOf(symbols[0]!) });
  return JSON.stringify(Object.fromEntries(symbols.map((name) => [name, snapshotOf(name)])));
}

function latestBar(symbol: string, { market, nowMs }: RestContext): Bar | null {
  return lookBack(nowMs, (from, to) => market.history(symbol, from, to, nowMs).at(-1) ?? null);
}

function latestTrade(symbol: string, { market, nowMs }: RestContext): MarketTrade | null {
  return lookBack(nowMs, (from, to) => {
    let newest: MarketTrade | null = null;
    for (const minute of openMinutes(market.calendar, from, to)) {
      for (const trade of market.trades(symbol, minute)) if (trade.reportedAt <= nowMs) newest = trade;
    }
    return newest;
  });
}

/** The first thing found in the hours from now back. */
function lookBack<T>(nowMs: number, find: (fromMs: number, toMs: number) => T | null): T | null {
  for (let to = nowMs; to > nowMs - LOOK_BACK_MS; to -= HOUR_MS) {
    const found = find(Math.floor((to - HOUR_MS) / MINUTE_MS) * MINUTE_MS, to);
    if (found !== null) return found;
  }
  return null;
}

function calendarBody(query: URLSearchParams, { market, nowMs }: RestContext): string | RestError {
  const start = dateOf(query.get('start'), nowMs - CALENDAR_SPAN_MS);
  const end = dateOf(query.get('end'), nowMs + CALENDAR_SPAN_MS);
  if (start === null || end === null) return { status: 422, message: 'invalid date' };
  return JSON.stringify(calendarRows(market.calendar, start, end));
}

/** Midnight of a date; one official client sends whole instants, of which the date counts. */
function dateOf(text: string | null, absent: number): number | null {
  if (text === null) return absent;
  if (!isDay(text) && parseInstant(text) === null) return null;
  return newYorkMidnight(text.slice(0, 10));
}

function assets(
  rest: readonly string[],
  query: URLSearchParams,
  { symbols, isListed }: AlpacaMarket,
): string | RestError {
  if (rest.length === 1) {
    return isListed(rest[0]!)
      ? JSON.stringify(assetRow(rest[0]!, symbols.indexOf(rest[0]!)))
      : { status: 404, code: 40410000, message: `asset not found for ${rest[0]}` };
  }
  if (rest.length > 1) return NOT_FOUND;
  const matches = (query.get('asset_class') ?? 'us_equity') === 'us_equity' && query.get('status') !== 'inactive';
  return JSON.stringify(matches ? symbols.map(assetRow) : []);
}

function assetRow(symbol: string, index: number): AssetRow {
  return {
    id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    class: 'us_equity',
    exchange: 'NASDAQ',
    symbol,
    name: `${symbol} Inc. Common Stock`,
    status: 'active',
    tradable: true,
    marginable: true,
    shortable: true,
    easy_to_borrow: true,
    fractionable: true,
  };
}
