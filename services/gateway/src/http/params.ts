import { type MarketCalendar, newYorkMidnight } from '@candlewire/candles';
import {
  ApiError,
  INTERVALS,
  type Interval,
  isDay,
  isInterval,
  parseInstant,
  parseSymbol,
  SYMBOL_RULE,
} from '@candlewire/contracts';
import type { Request, RequestHandler } from 'express';
import { isTimeframe, TIMEFRAMES, type Timeframe } from '../timeframes';

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000;
/** Of a name that a caller made up, no more is repeated. */
const NAME_SHOWN_MAX = 40;

export type Query = Request['query'];

export function invalid(name: string, rule: string): ApiError {
  return new ApiError('invalid_parameter', `${name}: ${rule}`);
}

/** A parameter given twice has no one meaning, so none is chosen for the caller. Parameters that nobody knows are left alone otherwise. */
export const refuseRepeated: RequestHandler = (req, _res, next) => {
  for (const [name, value] of Object.entries(req.query)) {
    if (typeof value !== 'string') throw invalid(name.slice(0, NAME_SHOWN_MAX), 'must be given once');
  }
  next();
};

/** The value of a parameter, undefined where it is absent. */
export function textOf(query: Query, name: string): string | undefined {
  const value = query[name];
  return typeof value === 'string' ? value : undefined;
}

export function symbolOf(value: unknown): string {
  const symbol = parseSymbol(value);
  if (symbol === null) throw invalid('symbol', `must be ${SYMBOL_RULE}`);
  return symbol;
}

export function intervalOf(query: Query): Interval {
  const value = textOf(query, 'interval') ?? '1m';
  if (!isInterval(value)) throw invalid('interval', `must be one of ${INTERVALS.join(', ')}`);
  return value;
}

/** @param value undefined where none is given */
export function timeframeOf(value: string | undefined): Timeframe {
  const timeframe = value ?? '1Min';
  if (!isTimeframe(timeframe)) throw invalid('timeframe', `must be one of ${TIMEFRAMES.join(', ')}`);
  return timeframe;
}

export function limitOf(query: Query): number {
  return parseLimit(textOf(query, 'limit'));
}

/** @param value undefined where none is given */
export function parseLimit(value: string | undefined): number {
  if (value === undefined) return LIMIT_DEFAULT;
  const limit = /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (limit < 1 || limit > LIMIT_MAX) throw invalid('limit', `must be a whole number from 1 to ${LIMIT_MAX}`);
  return limit;
}

/**
 * Both ends of a range, inclusive, epoch ms; null where the range is open. A day stands for the whole of it in New York:
 * its midnight as start, its last instant as end. An empty value is an open end.
 */
export function rangeOf(query: Query, calendar: MarketCalendar): { from: number | null; to: number | null } {
  const from = instantOf(query, 'start', newYorkMidnight);
  const to = instantOf(query, 'end', (day) => calendar.nextDay(newYorkMidnight(day)) - 1);
  if (from !== null && to !== null && from > to) throw invalid('start', 'must not be after end');
  return { from, to };
}

function instantOf(query: Query, name: string, ofDay: (day: string) => number): number | null {
  const value = textOf(query, name) ?? '';
  if (value === '') return null;
  // In a query a bare plus means a space; after a time of day it can only have been the plus of a zone.
  const instant = isDay(value) ? ofDay(value) : parseInstant(value.replace(/ (?=\d\d:\d\d$)/, '+'));
  if (instant === null) {
    throw invalid(name, 'must be an RFC 3339 instant with zone (2025-11-03T14:30:00Z) or a day (2025-11-03)');
  }
  return instant;
}

/** The symbols of a body, each once, ascending. */
export function symbolListOf(value: unknown, countMax: number): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > countMax) {
    throw invalid('symbols', `must be a list of 1 to ${countMax} symbols`);
  }
  return [...new Set(value.map(symbolOf))].sort();
}
