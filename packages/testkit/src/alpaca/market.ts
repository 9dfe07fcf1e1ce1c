import type { MarketCalendar } from '@candlewire/candles';
import { type Bar, HOUR_MS, MINUTE_MS, type Rev } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';

export interface AlpacaMarketOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Default: the exchange's. */
  readonly calendar?: MarketCalendar;
  /** All that are listed. Default: ten well-known ones. */
  readonly symbols?: readonly string[];
  /** Fractions of the minutes. */
  readonly chances?: Partial<Chances>;
}

export interface Chances {
  /** Of a minute in the regular session to have no trade, and so no bar. Default 0.05. */
  readonly quiet: number;
  /** The same in pre and post. Default 0.6. */
  readonly thin: number;
  /** Of a minute to have a trade reported late, and so an updated bar. Default 0.1. */
  readonly late: number;
  /** Of a minute to have a bad print, which history corrects after the close or the next day. Default 0.02. */
  readonly corrected: number;
}

export interface MarketTrade {
  readonly symbol: string;
  /** Unique for the symbol. */
  readonly id: number;
  /** When it happened, epoch ms, and the nanoseconds beyond. */
  readonly time: number;
  readonly ns: number;
  /** When the feed tells of it: at once, or LATE_TRADE_MS after its minute. */
  readonly reportedAt: number;
  readonly price: number;
  readonly size: number;
}

/**
 * A market as a pure function of (seed, symbol, minute). Minutes are given by their left edges, epoch ms. Bars of the
 * stream, of history and of the trades agree, as far as they do at Alpaca:
 *
 *   end of the minute + 50 ms     `first`, the bar of the stream: without the trade that is late
 *   end of the minute + 30.05 s   `updated`, where a trade was late: with it
 *   `settledAt`                   `settled`, in history alone: without the bad print
 */
export interface AlpacaMarket {
  readonly calendar: MarketCalendar;
  readonly symbols: readonly string[];
  isListed(symbol: string): boolean;
  /** Ascending by time. Empty in a quiet minute. */
  trades(symbol: string, minuteMs: number): readonly MarketTrade[];
  /** rev 0. Null where there is no trade, or none but a late one. */
  first(symbol: string, minuteMs: number): Bar | null;
  /** rev 1. Null where no trade was late. */
  updated(symbol: string, minuteMs: number): Bar | null;
  /** rev 4: the truth, which history tells once and for all from `settledAt` on. */
  settled(symbol: string, minuteMs: number): Bar | null;
  settledAt(minuteMs: number): number;
  /** rev 4: what history says of a minute at a time. Null as well where its bar is not out yet. */
  asOf(symbol: string, minuteMs: number, nowMs: number): Bar | null;
  /** The minutes of fromMs <= t < toMs as history says at `nowMs` (Infinity: settled), ascending. */
  history(symbol: string, fromMs: number, toMs: number, nowMs: number): Bar[];
  /** The New York day that holds `ms` as far as it is known at `nowMs`: prices of the regular session, volume of all three. */
  day(symbol: string, ms: number, nowMs: number): Bar | null;
}

/** So long after a minute its bar is sent, and stands in history. */
export const BAR_DELAY_MS = 50;
/** So long after a minute its updated bar is sent. */
export const UPDATE_DELAY_MS = 30_050;
/** So long after its minute a late trade is told. */
export const LATE_TRADE_MS = 10_000;
/** After the close, and after the next midnight, corrections come to stand in history. */
const CORRECTED_AFTER_CLOSE_MS = HOUR_MS / 2;
const CORRECTED_NEXT_DAY_MS = 2 * HOUR_MS;

const DEFAULT_SYMBOLS = ['AAPL', 'AMZN', 'GOOGL', 'META', 'MSFT', 'NVDA', 'QQQ', 'SPY', 'TSLA', 'BRK.B'];
const DEFAULT_CHANCES: Chances = { quiet: 0.05, thin: 0.6, late: 0.1, corrected: 0.02 };
const TRADES_MAX = 8;
const SIZE_MAX = 500;
const BAD_PRINT_CENTS = 150;
const BASE_MIN_CENTS = 5_000;
const BASE_RANGE_CENTS = 40_000;
/** Periods of 1, 4, 16 … minutes; each layer swings twice as far as the one before. */
const PERIODS = Array.from({ length: 8 }, (_, layer) => 4 ** layer);
const LAYER_SWING_CENTS = 4;
const NS_PER_MS = 1_000_000;
/** Sessions begin and end at whole half hours. */
const SESSION_STEP_MS = HOUR_MS / 2;

/** In tests a global is looked up through the sandbox at each use. */
const { floor, imul, round } = Math;

/** What one minute holds, drawn once. */
interface Draw {
  readonly count: number;
  /** The last trade is late. */
  readonly late: boolean;
  /** Index of the trade that was printed wrongly, or -1. */
  readonly badPrint: number;
}

const QUIET: Draw = { count: 0, late: false, badPrint: -1 };

export function createAlpacaMarket(options: AlpacaMarketOptions = {}): AlpacaMarket {
  const { seed = 1, calendar = loadCalendar('nyse'), symbols = DEFAULT_SYMBOLS } = options;
  const chances = { ...DEFAULT_CHANCES, ...options.chances };
  const keys = new Map(symbols.map((symbol) => [symbol, keyOf(`${seed}:${symbol}`)]));

  /** Hot, as all that follows: once per bar of history. */
  function draw(key: number, minuteMs: number): Draw {
    const status = calendar.statusOf(minuteMs);
    if (status === 'closed') return QUIET;
    const minute = minuteMs / MINUTE_MS;
    const kind = hash(key ^ 0x5bd1e995, minute);
    if (fraction(kind) < (status === 'regular' ? chances.quiet : chances.thin)) return QUIET;
    const detail = hash(kind, 1);
    const count = 1 + ((detail >>> 8) % TRADES_MAX);
    return {
      count,
      late: fraction(hash(kind, 2)) < chances.late,
      badPrint: fraction(hash(kind, 3)) < chances.corrected ? (detail >>> 20) % count : -1,
    };
  }

  function fold(symbol: string, minuteMs: number, rev: Rev, { count, badPrint }: Draw): Bar | null {
    if (count === 0) return null;
    const key = keys.get(symbol)!;
    const minute = minuteMs / MINUTE_MS;
    const level = levelAt(key, minute);
    let open = 0;
    let high = 0;
    let low = Number.POSITIVE_INFINITY;
    let close = 0;
    let volume = 0;
    let turnover = 0;
    for (let index = 0; index < count; index++) {
      const trade = hash(key + index, minute);
      const price = centsOf(trade, level) + (index === badPrint ? BAD_PRINT_CENTS : 0);
      const size = sizeOf(trade);
      if (index === 0) open = price;
      if (price > high) high = price;
      if (price < low) low = price;
      close = price;
      volume += size;
      turnover += price * size;
    }
    // On a grid that holds low and high, so that rounding cannot lead outside of them.
    const vwap = round((100 * turnover) / volume) / 10_000;
    const prices = { open: open / 100, high: high / 100, low: low / 100, close: close / 100 };
    return { symbol, openTime: minuteMs, ...prices, volume, tradeCount: count, vwap, rev };
  }

  const drawOf = (symbol: string, minuteMs: number): Draw => {
    const key = keys.get(symbol);
    return key === undefined ? QUIET : draw(key, minuteMs);
  };
  const withoutLate = (drawn: Draw): Draw => (drawn.late ? { ...drawn, count: drawn.count - 1 } : drawn);
  const corrected = (drawn: Draw): Draw => (drawn.badPrint < 0 ? drawn : { ...drawn, badPrint: -1 });

  function settledAt(minuteMs: number): number {
    const nextDay = (minuteMs / MINUTE_MS) % 2 === 0;
    if (nextDay) return calendar.nextDay(minuteMs) + CORRECTED_NEXT_DAY_MS;
    return calendar.closeTimeOf('1d', calendar.openTimeOf('1d', minuteMs)) + CORRECTED_AFTER_CLOSE_MS;
  }

  function asOf(symbol: string, minuteMs: number, nowMs: number): Bar | null {
    const age = nowMs - (minuteMs + MINUTE_MS);
    if (age < BAR_DELAY_MS) return null;
    const drawn = drawOf(symbol, minuteMs);
    if (drawn.late && age < UPDATE_DELAY_MS) return fold(symbol, minuteMs, 4, withoutLate(drawn));
    if (drawn.badPrint >= 0 && nowMs < settledAt(minuteMs)) return fold(symbol, minuteMs, 4, drawn);
    return fold(symbol, minuteMs, 4, corrected(drawn));
  }

  return {
    calendar,
    symbols,
    isListed: (symbol) => keys.has(symbol),
    trades(symbol, minuteMs) {
      const drawn = drawOf(symbol, minuteMs);
      const key = keys.get(symbol) ?? 0;
      const minute = minuteMs / MINUTE_MS;
      const level = levelAt(key, minute);
      return Array.from({ length: drawn.count }, (_, index): MarketTrade => {
        const trade = hash(key + index, minute);
        const time = minuteMs + floor(((index + fraction(hash(trade, 5))) * MINUTE_MS) / drawn.count);
        const isLate = drawn.late && index === drawn.count - 1;
        return {
          symbol,
          id: minute * TRADES_MAX + index,
          time,
          ns: (hash(trade, 6) >>> 0) % NS_PER_MS,
          reportedAt: isLate ? minuteMs + MINUTE_MS + LATE_TRADE_MS : time,
          price: (centsOf(trade, level) + (index === drawn.badPrint ? BAD_PRINT_CENTS : 0)) / 100,
          size: sizeOf(trade),
        };
      });
    },
    first: (symbol, minuteMs) => fold(symbol, minuteMs, 0, withoutLate(drawOf(symbol, minuteMs))),
    updated(symbol, minuteMs) {
      const drawn = drawOf(symbol, minuteMs);
      return drawn.late ? fold(symbol, minuteMs, 1, drawn) : null;
    },
    settled: (symbol, minuteMs) => fold(symbol, minuteMs, 4, corrected(drawOf(symbol, minuteMs))),
    settledAt,
    asOf,
    history(symbol, fromMs, toMs, nowMs) {
      const bars: Bar[] = [];
      for (const minuteMs of openMinutes(calendar, fromMs, Math.min(toMs, nowMs))) {
        const bar = asOf(symbol, minuteMs, nowMs);
        if (bar !== null) bars.push(bar);
      }
      return bars;
    },
    day(symbol, ms, nowMs) {
      const dayMs = calendar.openTimeOf('1d', ms);
      let day: Bar | null = null;
      let extended = { volume: 0, tradeCount: 0 };
      let turnover = 0;
      for (const minuteMs of openMinutes(calendar, dayMs, Math.min(calendar.nextDay(dayMs), nowMs))) {
        const bar = asOf(symbol, minuteMs, nowMs);
        if (bar === null) continue;
        turnover += bar.vwap! * bar.volume;
        if (calendar.statusOf(minuteMs) === 'regular') day = widened(day, bar, dayMs);
        else {
          extended = {
            volume: extended.volume + bar.volume,
            tradeCount: extended.tradeCount + bar.tradeCount!,
          };
        }
      }
      if (day === null) return null;
      const volume = day.volume + extended.volume;
      const vwap = round((turnover / volume) * 10_000) / 10_000;
      return { ...day, volume, tradeCount: day.tradeCount! + extended.tradeCount, vwap };
    },
  };
}

/** Minutes of fromMs <= t < toMs in which the market is open, ascending. */
export function* openMinutes(calendar: MarketCalendar, fromMs: number, toMs: number): Generator<number> {
  let minuteMs = Math.ceil(fromMs / MINUTE_MS) * MINUTE_MS;
  while (minuteMs < toMs) {
    if (calendar.statusOf(minuteMs) !== 'closed') {
      yield minuteMs;
      minuteMs += MINUTE_MS;
    } else minuteMs = (floor(minuteMs / SESSION_STEP_MS) + 1) * SESSION_STEP_MS;
  }
}

/** Roll-up as Alpaca does it: first open, greatest high, least low, last close, sums. vwap is not kept up. */
export function widened(wide: Bar | null, bar: Bar, openTime: number): Bar {
  if (wide === null) return { ...bar, openTime };
  return {
    ...wide,
    high: Math.max(wide.high, bar.high),
    low: Math.min(wide.low, bar.low),
    close: bar.close,
    volume: wide.volume + bar.volume,
    tradeCount: wide.tradeCount! + bar.tradeCount!,
  };
}

function centsOf(trade: number, level: number): number {
  return level + ((trade >>> 4) % 21) - 10;
}

function sizeOf(trade: number): number {
  return 1 + ((trade >>> 10) % SIZE_MAX);
}

/** In cents: noise of ever longer periods, which costs the same at any time. */
function levelAt(key: number, minute: number): number {
  let cents = BASE_MIN_CENTS + ((key >>> 1) % BASE_RANGE_CENTS);
  let swing = LAYER_SWING_CENTS;
  for (let layer = 0; layer < PERIODS.length; layer++) {
    const period = PERIODS[layer]!;
    const cell = floor(minute / period);
    const left = fraction(hash(key + 100 + layer, cell));
    const right = fraction(hash(key + 100 + layer, cell + 1));
    cents += swing * (left + (right - left) * (minute / period - cell) - 0.5);
    swing *= 2;
  }
  return floor(cents);
}

function keyOf(text: string): number {
  let key = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) key = imul(key ^ text.charCodeAt(i), 0x01000193);
  return hash(key, text.length);
}

function hash(key: number, n: number): number {
  let h = key ^ imul(n, 0x9e3779b1);
  h = imul(h ^ (h >>> 16), 0x85ebca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function fraction(h: number): number {
  return (h >>> 0) / 2 ** 32;
}
