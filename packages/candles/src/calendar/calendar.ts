import type { Interval, MarketStatus } from '@candlewire/contracts';

export type CalendarKind = 'nyse' | '24x7';

/** When the market is open, and where the days and buckets of its candles begin. Pure: every function of its arguments. */
export interface MarketCalendar {
  readonly kind: CalendarKind;
  /** Last calendar year (New York) that the table covers; null: no table needed. */
  readonly lastYear: number | null;
  /** market_status of the minute that begins at `ms`. */
  statusOf(ms: number): MarketStatus;
  /** Left edge (epoch ms) of the candle that holds `ms`: floor of UTC, for 1d the New York midnight. */
  openTimeOf(interval: Interval, ms: number): number;
  /** Exclusive end of the candle that begins at `openTime`, by which it is final (plus grace): of a 1d candle the end of the date's post session. */
  closeTimeOf(interval: Interval, openTime: number): number;
  /** New York midnight of the day after the one that holds `ms`. */
  nextDay(ms: number): number;
}
