import type { MarketCalendar } from '@candlewire/candles';
import { DAY_MS, MINUTE_MS } from '@candlewire/contracts';
import type { StoredHistory } from '@candlewire/store';

/** Minutes of one symbol to be fetched: from <= openTime < to, whole minutes, within one New York day. */
export interface FillRange {
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
}

export interface PlannedRange extends FillRange {
  /** 1 for the current day, 2 for the day before, and so on: what is newest is looked at first. */
  readonly priority: number;
}

export interface FillPlan {
  /** Newest days first. */
  readonly ranges: readonly PlannedRange[];
  /** Symbols whose first fill this is, and where it begins. */
  readonly begins: { readonly symbols: readonly string[]; readonly from: number };
}

export interface PlanRules {
  readonly calendar: MarketCalendar;
  /** How many days before the current one a first fill reaches; 0: there is none. */
  readonly historyDays: number;
  /** Minutes so long before the last stored one are fetched again: corrections of them may have been missed. */
  readonly marginMs: number;
}

/**
 * What is missing of the symbols, given what is stored of each and that their live bars flow since `now` at the latest.
 * The minute that `now` lies in is left to the live stream.
 */
export function planFills(
  stored: readonly StoredHistory[],
  now: number,
  { calendar, historyDays, marginMs }: PlanRules,
): FillPlan {
  const to = now - (now % MINUTE_MS);
  const today = calendar.openTimeOf('1d', now);
  const first = historyDays === 0 ? to : daysBefore(today, historyDays, calendar);
  const ranges: PlannedRange[] = [];
  for (const one of stored) {
    let from = missingFrom(one, first, marginMs);
    while (from < to) {
      const end = Math.min(calendar.nextDay(from), to);
      // Days of 23 and 25 hours are days, too.
      const age = Math.round((today - calendar.openTimeOf('1d', from)) / DAY_MS);
      ranges.push({ symbol: one.symbol, from, to: end, priority: 1 + age });
      from = end;
    }
  }
  ranges.sort((a, b) => a.priority - b.priority);
  const symbols = stored.filter(({ historyFrom }) => historyFrom === null).map(({ symbol }) => symbol);
  return { ranges, begins: { symbols, from: first } };
}

function missingFrom({ lastOpenTime, historyFrom }: StoredHistory, first: number, marginMs: number): number {
  if (historyFrom === null) return first;
  // Nothing came of what was asked for: the source had nothing yet, or it was lost on the way.
  return lastOpenTime === null ? historyFrom : lastOpenTime - marginMs;
}

function daysBefore(day: number, days: number, calendar: MarketCalendar): number {
  let begin = day;
  for (let i = 0; i < days; i++) begin = calendar.openTimeOf('1d', begin - 1);
  return begin;
}
