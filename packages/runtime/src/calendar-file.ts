import { readFileSync } from 'node:fs';
import { type CalendarKind, createCalendar, type MarketCalendar } from '@candlewire/candles';
import { ConfigError } from './config';

/**
 * The calendar of a store: `24x7`, or the exchange's from the table that ships with the candles package or from `file`,
 * a table of the same form.
 * @throws ConfigError where the file cannot be read or holds something else
 */
export function loadCalendar(kind: CalendarKind, file?: string): MarketCalendar {
  const path = file ?? require.resolve('@candlewire/candles/nyse-calendar.csv');
  try {
    return createCalendar(kind, readFileSync(path, 'utf8'));
  } catch (err) {
    throw new ConfigError([`CALENDAR_FILE: ${(err as Error).message}`]);
  }
}
