import { HOUR_MS, type Interval, type MarketStatus, MINUTE_MS } from '@candlewire/contracts';
import type { CalendarKind, MarketCalendar } from './calendar';
import { dayNumberOf, newYorkTime } from './new-york';
import {
  isWeekday,
  parseSessionTable,
  REGULAR_FROM_MINUTE,
  REGULAR_TO_MINUTE,
  type SessionTable,
} from './session-table';

/** One New York date, in epoch ms. A day without a session has all its inner boundaries at its end. */
interface Day {
  readonly from: number;
  readonly preFrom: number;
  readonly regularFrom: number;
  readonly postFrom: number;
  readonly postTo: number;
  readonly to: number;
}

type SessionOf = (dayNumber: number, from: number, to: number) => Day;

/** About 200 bytes each; when there are as many, all are forgotten. */
const DAYS_KEPT_MAX = 1_000;
const PRE_FROM_MINUTE = 4 * 60;
/** The post session follows the close, however early that is. */
const POST_MINUTES = 4 * 60;
const WIDTH_MS = { '1m': MINUTE_MS, '5m': 5 * MINUTE_MS, '1h': HOUR_MS } as const;

/**
 * The calendar of US stocks (`nyse`), or of a market that never closes (`24x7`).
 *
 * `tableCsv` holds the exchange's holidays and early closes, `date,kind,close_time_local,name` (`nyse-calendar.csv` of
 * this package); 24x7 does not look at it. In years outside the table every weekday counts as a full session:
 * `lastYear` tells how far the table knows.
 * @throws Error that names the line of the table that cannot be read
 */
export function createCalendar(kind: CalendarKind, tableCsv: string): MarketCalendar {
  if (kind === '24x7') return new DayCalendar(kind, null, alwaysOpen);
  const table = parseSessionTable(tableCsv);
  return new DayCalendar(kind, table.lastYear, (dayNumber, from, to) => exchangeDay(table, dayNumber, from, to));
}

function alwaysOpen(_dayNumber: number, from: number, to: number): Day {
  return { from, preFrom: from, regularFrom: from, postFrom: to, postTo: to, to };
}

function exchangeDay({ closes }: SessionTable, dayNumber: number, from: number, to: number): Day {
  const closeMinute = isWeekday(dayNumber) ? closes.get(dayNumber) : null;
  if (closeMinute === null) return { from, preFrom: to, regularFrom: to, postFrom: to, postTo: to, to };
  const at = (minute: number): number => newYorkTime(dayNumber, minute * MINUTE_MS);
  const close = closeMinute ?? REGULAR_TO_MINUTE;
  return {
    from,
    preFrom: at(PRE_FROM_MINUTE),
    regularFrom: at(REGULAR_FROM_MINUTE),
    postFrom: at(close),
    postTo: at(close + POST_MINUTES),
    to,
  };
}

class DayCalendar implements MarketCalendar {
  /** The day of the last question: bars come in time order, so nearly every question is about the same one. */
  private day: Day = alwaysOpen(0, 0, 0);
  /** Days asked for before, by number: the symbols of a backfill stand at different dates. */
  private readonly days = new Map<number, Day>();

  constructor(
    readonly kind: CalendarKind,
    readonly lastYear: number | null,
    private readonly sessionOf: SessionOf,
  ) {}

  /** Hot: once per bar. */
  statusOf(ms: number): MarketStatus {
    const day = this.dayOf(ms);
    if (ms < day.regularFrom) return ms < day.preFrom ? 'closed' : 'pre';
    if (ms < day.postFrom) return 'regular';
    return ms < day.postTo ? 'post' : 'closed';
  }

  openTimeOf(interval: Interval, ms: number): number {
    if (interval === '1d') return this.dayOf(ms).from;
    const width = WIDTH_MS[interval];
    return Math.floor(ms / width) * width;
  }

  closeTimeOf(interval: Interval, openTime: number): number {
    return interval === '1d' ? this.dayOf(openTime).postTo : openTime + WIDTH_MS[interval];
  }

  nextDay(ms: number): number {
    return this.dayOf(ms).to;
  }

  private dayOf(ms: number): Day {
    const { day } = this;
    return ms >= day.from && ms < day.to ? day : (this.day = this.dayNumbered(dayNumberOf(ms)));
  }

  private dayNumbered(dayNumber: number): Day {
    let day = this.days.get(dayNumber);
    if (day === undefined) {
      if (this.days.size === DAYS_KEPT_MAX) this.days.clear();
      day = this.sessionOf(dayNumber, newYorkTime(dayNumber, 0), newYorkTime(dayNumber + 1, 0));
      this.days.set(dayNumber, day);
    }
    return day;
  }
}
