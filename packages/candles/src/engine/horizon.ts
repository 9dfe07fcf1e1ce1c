import type { MarketCalendar } from '../calendar/calendar';

/**
 * From when on minutes are kept: the New York midnight `days` days before the one of the clock. It follows from the clock
 * of the journal alone, so that the same deliveries are refused whenever they are applied.
 */
export function horizonOf(clock: number, days: number, calendar: MarketCalendar): number {
  let day = calendar.openTimeOf('1d', clock);
  for (let i = 0; i < days; i++) day = calendar.openTimeOf('1d', day - 1);
  return day;
}
