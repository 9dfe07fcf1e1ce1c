import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DAY_MS } from '@candlewire/contracts';
import { parseSessionTable } from './session-table';

const HEADER = 'date,kind,close_time_local,name';
const SHIPPED = readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8');

describe('a table', () => {
  test('may have its days in any order, Windows line ends, a byte order mark and empty lines', () => {
    const csv = `\uFEFF${HEADER}\r\n2025-07-03,early_close,13:00,"Eve, of sorts"\r\n\r\n2024-12-25,holiday,,Christmas\r\n`;
    const { closes, lastYear } = parseSessionTable(csv);
    expect([...closes]).toEqual([
      [numberOf('2025-07-03'), 13 * 60],
      [numberOf('2024-12-25'), null],
    ]);
    expect(lastYear).toBe(2025);
  });

  test.each([
    ['2025-02-29,holiday,,', '"2025-02-29" is not a date'],
    ['29.02.2024,holiday,,', '"29.02.2024" is not a date'],
    ['2025-12-25,closed,,', '"closed" is neither holiday nor early_close'],
    ['2025-12-25', '"" is neither holiday nor early_close'],
    ['2025-12-25,holiday,13:00,', 'a holiday has no close time'],
    ['2025-12-27,early_close,13:00,', '2025-12-27 is not a weekday'],
    ['2025-12-24,early_close,,', '"" is not a close time'],
    ['2025-12-24,early_close,13:02,', '"13:02" is not a close time'],
    ['2025-12-24,early_close,09:30,', '"09:30" is not a close time'],
    ['2025-12-24,early_close,16:05,', '"16:05" is not a close time'],
    ['2025-12-24,early_close,1pm,', '"1pm" is not a close time'],
    ['2024-12-25,holiday,,', '2024-12-25 stands there twice'],
  ])('with the line %s is refused by line number', (line, reason) => {
    const csv = `${HEADER}\n2024-12-25,holiday,,Christmas\n\n${line}\n`;
    expect(() => parseSessionTable(csv)).toThrow(`line 4: ${reason}`);
  });

  test.each(['09:35', '16:00'])('may close a session at %s', (time) => {
    expect(() => parseSessionTable(`${HEADER}\n2025-12-24,early_close,${time},\n`)).not.toThrow();
  });

  test('without header or without days is refused', () => {
    expect(() => parseSessionTable('')).toThrow('line 1: expected the header');
    expect(() => parseSessionTable('2025-12-25,holiday,,')).toThrow('line 1: expected the header');
    expect(() => parseSessionTable(`${HEADER}\n`)).toThrow('line 2: there is no day');
  });

  test('with many bad lines names the first five and counts the others', () => {
    const csv = [HEADER, ...Array.from({ length: 8 }, () => 'nonsense')].join('\n');
    expect(() => parseSessionTable(csv)).toThrow(/^line 2: .*; line 6: [^;]*; and 3 more$/);
  });
});

test("the shipped table holds what the exchange's rules say, 2015 to 2027, and two days of mourning", () => {
  const lines = SHIPPED.trim().split('\n').slice(1);
  const shipped = lines.map((line) => line.split(',').slice(0, 3).join(','));
  expect(shipped).toEqual(Array.from({ length: 13 }, (_, i) => daysByRule(2015 + i)).flat());
  expect(parseSessionTable(SHIPPED)).toMatchObject({ lastYear: 2027, closes: { size: 150 } });
});

const MOURNING = ['2018-12-05', '2025-01-09'];

/** Lines `date,kind,close` of a year, ascending. */
function daysByRule(year: number): string[] {
  const holidays = [
    // Of a Saturday New Year's Day nobody takes notice: the Friday belongs to the year before.
    ...(isSaturday(utc(year, 1, 1)) ? [] : [observed(utc(year, 1, 1))]),
    nthWeekday(year, 1, MONDAY, 3),
    nthWeekday(year, 2, MONDAY, 3),
    easter(year) - 2 * DAY_MS,
    lastMonday(year, 5),
    ...(year >= 2022 ? [observed(utc(year, 6, 19))] : []),
    observed(utc(year, 7, 4)),
    nthWeekday(year, 9, MONDAY, 1),
    nthWeekday(year, 11, THURSDAY, 4),
    observed(utc(year, 12, 25)),
    ...MOURNING.filter((day) => day.startsWith(`${year}-`)).map((day) => Date.parse(day)),
  ];
  const earlyCloses = [utc(year, 7, 3), nthWeekday(year, 11, THURSDAY, 4) + DAY_MS, utc(year, 12, 24)].filter(
    (ms) => !isWeekend(ms) && !holidays.includes(ms),
  );
  return [
    ...holidays.map((ms) => `${dayOf(ms)},holiday,`),
    ...earlyCloses.map((ms) => `${dayOf(ms)},early_close,13:00`),
  ].sort();
}

const MONDAY = 1;
const THURSDAY = 4;

function utc(year: number, month: number, day: number): number {
  return Date.UTC(year, month - 1, day);
}

function weekdayOf(ms: number): number {
  return new Date(ms).getUTCDay();
}

function isSaturday(ms: number): boolean {
  return weekdayOf(ms) === 6;
}

function isWeekend(ms: number): boolean {
  return isSaturday(ms) || weekdayOf(ms) === 0;
}

function observed(ms: number): number {
  if (isSaturday(ms)) return ms - DAY_MS;
  return weekdayOf(ms) === 0 ? ms + DAY_MS : ms;
}

function nthWeekday(year: number, month: number, weekday: number, nth: number): number {
  const first = utc(year, month, 1);
  return first + (((weekday - weekdayOf(first) + 7) % 7) + 7 * (nth - 1)) * DAY_MS;
}

function lastMonday(year: number, month: number): number {
  const last = utc(year, month + 1, 0);
  return last - ((weekdayOf(last) - MONDAY + 7) % 7) * DAY_MS;
}

/** The Gregorian computus of Meeus, Jones and Butcher. */
function easter(year: number): number {
  const a = year % 19;
  const b = Math.floor(year / 100);
  const c = year % 100;
  const g = Math.floor((8 * b + 13) / 25);
  const h = (19 * a + b - Math.floor(b / 4) - g + 15) % 30;
  const l = (32 + 2 * (b % 4) + 2 * Math.floor(c / 4) - h - (c % 4)) % 7;
  const m = Math.floor((a + 11 * h + 22 * l) / 451);
  const n = h + l - 7 * m + 114;
  return utc(year, Math.floor(n / 31), (n % 31) + 1);
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function numberOf(day: string): number {
  return Date.parse(day) / DAY_MS;
}
