import type { MarketCalendar } from '@candlewire/candles';
import { DAY_MS, type MarketStatus, MINUTE_MS } from '@candlewire/contracts';
import { type PlannedFill, type Span, type StoredHistory, sessionSpans, without } from '@candlewire/store';

/** So long after the close of a day it is fetched again: free data is 15 minutes old, and late trades have been reported. */
export const SETTLE_AFTER_MS = 20 * MINUTE_MS;
/** Bars that come one after the other anyway are not worth a request each: of a symbol that is not delivered so much is let come together. */
const UNDELIVERED_MS = 15 * MINUTE_MS;
/** Whoever asked waits for what nobody asked for: that is of today and of gaps. */
const ASKED_PRIORITY = 10_000;

/** Minutes of one symbol to be fetched: from <= openTime < to, whole minutes. */
export interface FillRange extends Span {
  readonly symbol: string;
}

export interface FillPlan {
  /** Newest first, and of those of equal age the symbols in their order. */
  readonly ranges: readonly PlannedFill[];
  /** There was more than room for it. */
  readonly isCut: boolean;
  /** Symbols whose first fill this is, and where it begins. */
  readonly begins: { readonly symbols: readonly string[]; readonly from: number };
}

export interface PlanRules {
  readonly calendar: MarketCalendar;
  /** In which sessions there are bars. */
  readonly statuses: readonly MarketStatus[];
  /** How many days before the current one a first fill reaches; 0: there is none. */
  readonly historyDays: number;
  /** Minutes so long before the end of a stretch of live stream are fetched again: corrections of them may have been missed. */
  readonly marginMs: number;
  /** Days before the current one are put together, so many to a range. */
  readonly daysAtOnce: number;
  /** The stretch of live stream that goes on now; null: there is none, and what is missing of today is left until there is. */
  readonly session: number | null;
  /** Ranges that may be planned at the most. */
  readonly room: number;
}

/**
 * What is missing, given what is known of each symbol: of days that are over what was not answered after their close, and of
 * the current one what was neither answered nor vouched for. What is being fetched already is not planned again, nor is
 * anything without a minute of a session in it.
 */
export function planFills(stored: readonly StoredHistory[], now: number, rules: PlanRules): FillPlan {
  const { calendar, historyDays, room } = rules;
  const minute = now - (now % MINUTE_MS);
  const today = calendar.openTimeOf('1d', now);
  const first = historyDays === 0 ? minute : daysBefore(today, historyDays, calendar);
  const closedTo = Math.min(settledBefore(now, calendar), minute);
  const needs = stored.map((one) => {
    // What lies before the horizon would be refused.
    const from = Math.max(one.historyFrom ?? first, one.horizon ?? Number.NEGATIVE_INFINITY);
    return [...missingOfClosed(one, from, closedTo), ...missingOfToday(one, Math.max(from, closedTo), minute, rules)];
  });
  // With many symbols the newest of each are enough to choose from; the rest is planned when these are done.
  const each = Math.ceil(room / Math.max(1, needs.filter((spans) => spans.length > 0).length)) + 1;
  const ranges: PlannedFill[] = [];
  stored.forEach(({ symbol }, at) => {
    let count = 0;
    for (const span of newestFirst(needs[at]!, today, rules)) {
      if (count++ === each) break;
      ranges.push({ symbol, ...span, backfill: '', priority: 1 + ageOf(span, today, calendar) });
    }
  });
  ranges.sort((a, b) => a.priority - b.priority);
  const symbols = stored.filter(({ historyFrom }) => historyFrom === null).map(({ symbol }) => symbol);
  return { ranges: ranges.slice(0, room), isCut: ranges.length > room, begins: { symbols, from: first } };
}

/**
 * Ranges of what somebody asked for that is neither done nor being fetched, newest first.
 * @param parts symbols, each with what is out of the question
 */
export function planBackfill(
  id: string,
  asked: Span,
  parts: readonly { readonly symbol: string; readonly taken: readonly Span[] }[],
  now: number,
  rules: Pick<PlanRules, 'calendar' | 'statuses' | 'daysAtOnce' | 'room'>,
): PlannedFill[] {
  const { calendar, room } = rules;
  const today = calendar.openTimeOf('1d', now);
  const each = Math.ceil(room / Math.max(1, parts.length)) + 1;
  const ranges: PlannedFill[] = [];
  for (const { symbol, taken } of parts) {
    let count = 0;
    for (const span of newestFirst(without(asked, taken), today, rules)) {
      if (count++ === each) break;
      ranges.push({ symbol, ...span, backfill: id, priority: ASKED_PRIORITY + ageOf(span, today, calendar) });
    }
  }
  return ranges.sort((a, b) => a.priority - b.priority).slice(0, room);
}

/** Up to here every day has closed long enough ago; the end of the last such day, which may lie ahead. */
export function settledBefore(now: number, calendar: MarketCalendar): number {
  const today = calendar.openTimeOf('1d', now);
  if (calendar.closeTimeOf('1d', today) + SETTLE_AFTER_MS <= now) return calendar.nextDay(now);
  const before = calendar.openTimeOf('1d', today - 1);
  return calendar.closeTimeOf('1d', before) + SETTLE_AFTER_MS <= now ? today : before;
}

function missingOfClosed(one: StoredHistory, from: number, to: number): Span[] {
  return without({ from, to }, [...one.settled, ...one.pending]);
}

function missingOfToday(one: StoredHistory, from: number, minute: number, { session, marginMs }: PlanRules): Span[] {
  if (session === null) return [];
  const flows = one.live.find((stretch) => stretch.session === session && stretch.goesOn);
  const vouched = one.live.map((stretch): Span => {
    if (stretch === flows) return { from: stretch.from, to: Number.POSITIVE_INFINITY };
    return { from: stretch.from, to: stretch.to - Math.max(marginMs, MINUTE_MS) };
  });
  // Up to the first minute that the stream brings from its beginning, though that may be still to come.
  const to = flows === undefined ? minute : Math.max(minute, flows.from);
  const missing = without({ from, to }, [...one.answered, ...one.pending, ...vouched]);
  if (flows !== undefined) return missing;
  return missing.filter(({ from: begin }) => minute - begin >= UNDELIVERED_MS);
}

/** Spans cut at days, or at every so many of them, and those left out in which there is no session. Newest first. */
function* newestFirst(
  spans: readonly Span[],
  today: number,
  { calendar, statuses, daysAtOnce }: Pick<PlanRules, 'calendar' | 'statuses' | 'daysAtOnce'>,
): Generator<Span> {
  for (const { from, to } of [...spans].reverse()) {
    for (let end = to; end > from; ) {
      const begin = Math.max(from, pieceBefore(end, today, daysAtOnce, calendar));
      const span = { from: begin, to: end };
      if (sessionSpans(span, calendar, statuses).next().done !== true) yield span;
      end = begin;
    }
  }
}

/** Where the piece begins that ends at `end`. Days are counted from one that is the same for all, so that pieces are, too. */
function pieceBefore(end: number, today: number, daysAtOnce: number, calendar: MarketCalendar): number {
  let day = calendar.openTimeOf('1d', end - 1);
  if (end > today) return Math.max(day, today);
  while (Math.floor(day / DAY_MS) % daysAtOnce !== 0) day = calendar.openTimeOf('1d', day - 1);
  return day;
}

/** Days before the current one. Those of 23 and 25 hours are days, too. */
function ageOf({ to }: Span, today: number, calendar: MarketCalendar): number {
  return Math.max(0, Math.round((today - calendar.openTimeOf('1d', to - 1)) / DAY_MS));
}

function daysBefore(day: number, days: number, calendar: MarketCalendar): number {
  let begin = day;
  for (let i = 0; i < days; i++) begin = calendar.openTimeOf('1d', begin - 1);
  return begin;
}
