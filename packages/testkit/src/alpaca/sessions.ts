import type { CalendarRow, ClockBody } from '@candlewire/alpaca';
import { type MarketCalendar, newYorkDay, toNewYorkIso } from '@candlewire/candles';
import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';

/** Sessions end at whole five minutes. */
const STEP_MS = 5 * MINUTE_MS;
/** Longer than any closure. */
const LOOK_AHEAD_MS = 14 * 24 * HOUR_MS;

interface Session {
  readonly preFrom: number;
  readonly regularFrom: number;
  readonly regularTo: number;
  readonly postTo: number;
}

/** Trading days from the one that holds `fromMs` to the one that holds `toMs`, as `GET /v2/calendar` lists them. */
export function calendarRows(calendar: MarketCalendar, fromMs: number, toMs: number): CalendarRow[] {
  const rows: CalendarRow[] = [];
  for (let day = calendar.openTimeOf('1d', fromMs); day <= toMs; day = calendar.nextDay(day)) {
    const session = sessionOf(calendar, day);
    if (session !== null) rows.push(rowOf(calendar, day, session));
  }
  return rows;
}

export function clockBody(calendar: MarketCalendar, nowMs: number): ClockBody {
  const isOpen = (ms: number): boolean => calendar.statusOf(ms) === 'regular';
  const change = (to: boolean): number => {
    let before = isOpen(nowMs);
    for (let ms = (Math.floor(nowMs / STEP_MS) + 1) * STEP_MS; ms < nowMs + LOOK_AHEAD_MS; ms += STEP_MS) {
      const open = isOpen(ms);
      if (open === to && open !== before) return ms;
      before = open;
    }
    return nowMs + LOOK_AHEAD_MS;
  };
  return {
    timestamp: toNewYorkIso(nowMs),
    is_open: isOpen(nowMs),
    next_open: toNewYorkIso(change(true)),
    next_close: toNewYorkIso(change(false)),
  };
}

function sessionOf(calendar: MarketCalendar, day: number): Session | null {
  const to = calendar.nextDay(day);
  const first = (from: number, matches: (status: string) => boolean): number => {
    let ms = from;
    while (ms < to && !matches(calendar.statusOf(ms))) ms += STEP_MS;
    return ms;
  };
  const preFrom = first(day, (status) => status !== 'closed');
  const regularFrom = first(preFrom, (status) => status === 'regular');
  if (regularFrom >= to) return null;
  const regularTo = first(regularFrom, (status) => status !== 'regular');
  return { preFrom, regularFrom, regularTo, postTo: first(regularTo, (status) => status === 'closed') };
}

function rowOf(calendar: MarketCalendar, day: number, session: Session): CalendarRow {
  let settlement = calendar.nextDay(day);
  while (sessionOf(calendar, settlement) === null) settlement = calendar.nextDay(settlement);
  const time = (ms: number): string => (ms >= calendar.nextDay(day) ? '24:00' : toNewYorkIso(ms).slice(11, 16));
  return {
    date: newYorkDay(day),
    open: time(session.regularFrom),
    close: time(session.regularTo),
    session_open: time(session.preFrom).replace(':', ''),
    session_close: time(session.postTo).replace(':', ''),
    settlement_date: newYorkDay(settlement),
  };
}
