import { DAY_MS, isDay } from '@candlewire/contracts';

/** The days on which an exchange does not keep its usual hours. */
export interface SessionTable {
  /** By day number (see dayNumberOf): minutes from midnight to the early close; null: a holiday. */
  readonly closes: ReadonlyMap<number, number | null>;
  readonly lastYear: number;
}

export const REGULAR_FROM_MINUTE = 9 * 60 + 30;
export const REGULAR_TO_MINUTE = 16 * 60;

const HEADER = 'date,kind,close_time_local,name';
/** A 5m candle has one market status, so a session can only end where one of them does. */
const CLOSE_STEP_MINUTES = 5;
const PROBLEMS_SHOWN_MAX = 5;

/** @returns whether exchanges may open on the day of this number: Monday to Friday */
export function isWeekday(dayNumber: number): boolean {
  const weekday = new Date(dayNumber * DAY_MS).getUTCDay();
  return weekday !== 0 && weekday !== 6;
}

/**
 * Reads lines `date,kind,close_time_local,name`: date as YYYY-MM-DD; kind `holiday` (no time) or `early_close` (a time in
 * New York, HH:MM). Any order, each date once; what follows the third comma is for people.
 * @throws Error that names the lines which say something else; the header is line 1
 */
export function parseSessionTable(csv: string): SessionTable {
  const closes = new Map<number, number | null>();
  const problems: string[] = [];
  let lastYear = Number.NEGATIVE_INFINITY;
  const [header, ...lines] = csv.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (header?.trim() !== HEADER) problems.push(`line 1: expected the header ${HEADER}`);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const [date = '', kind = '', time = ''] = line.split(',').map((field) => field.trim());
    const dayNumber = isDay(date) ? Date.parse(date) / DAY_MS : Number.NaN;
    const problem = closes.has(dayNumber) ? `${date} stands there twice` : problemOf(date, dayNumber, kind, time);
    if (problem !== null) problems.push(`line ${index + 2}: ${problem}`);
    else {
      closes.set(dayNumber, kind === 'holiday' ? null : minuteOf(time));
      lastYear = Math.max(lastYear, Number(date.slice(0, 4)));
    }
  }
  if (problems.length === 0 && closes.size === 0) problems.push('line 2: there is no day in the table');
  if (problems.length > 0) {
    const rest = problems.length - PROBLEMS_SHOWN_MAX;
    throw new Error(problems.slice(0, PROBLEMS_SHOWN_MAX).join('; ') + (rest > 0 ? `; and ${rest} more` : ''));
  }
  return { closes, lastYear };
}

function problemOf(date: string, dayNumber: number, kind: string, time: string): string | null {
  if (Number.isNaN(dayNumber)) return `"${date}" is not a date (YYYY-MM-DD)`;
  if (kind === 'holiday') return time === '' ? null : `a holiday has no close time, found "${time}"`;
  if (kind !== 'early_close') return `"${kind}" is neither holiday nor early_close`;
  if (!isWeekday(dayNumber)) return `${date} is not a weekday, there is nothing to close early`;
  const minute = minuteOf(time);
  const onStep = minute % CLOSE_STEP_MINUTES === 0;
  if (onStep && minute > REGULAR_FROM_MINUTE && minute <= REGULAR_TO_MINUTE) return null;
  return `"${time}" is not a close time: 09:35 to 16:00 in steps of five minutes, since a 5m candle has one market status`;
}

/** Minutes from midnight of `HH:MM`, else NaN. */
function minuteOf(time: string): number {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(time);
  return match === null ? Number.NaN : Number(match[1]) * 60 + Number(match[2]);
}
