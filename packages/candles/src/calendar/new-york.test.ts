import { DAY_MS, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import fc from 'fast-check';
import { newYorkDay, newYorkMidnight, toNewYorkIso } from './new-york';

const intl = new Intl.DateTimeFormat('sv-SE', {
  timeZone: 'America/New_York',
  dateStyle: 'short',
  timeStyle: 'medium',
});

/** `2024-01-15 09:30:00` by Intl, which Swedes write like that. */
function localTime(ms: number): string {
  return intl.format(ms);
}

/** Clocks change at 2:00 on the second Sunday of March and the first of November. */
function changesOf(year: number): number[] {
  const sundayFrom = (month: number, day: number): number =>
    day + ((7 - new Date(Date.UTC(year, month, day)).getUTCDay()) % 7);
  return [Date.UTC(year, 2, sundayFrom(2, 8), 7), Date.UTC(year, 10, sundayFrom(10, 1), 6)];
}

test('every minute within two hours of each clock change from 2015 to 2027 equals Intl', () => {
  const wrong: string[] = [];
  for (let year = 2015; year <= 2027; year++) {
    for (const change of changesOf(year)) {
      expect(toNewYorkIso(change).slice(19)).not.toBe(toNewYorkIso(change - 1_000).slice(19));
      for (let ms = change - 2 * HOUR_MS; ms <= change + 2 * HOUR_MS; ms += MINUTE_MS) {
        const [day, time] = localTime(ms).split(' ');
        const iso = toNewYorkIso(ms);
        if (newYorkDay(ms) !== day || iso.slice(0, 19) !== `${day}T${time}` || Date.parse(iso) !== ms) wrong.push(iso);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('any second from 1900 to 2100, in any order, equals Intl', () => {
  const second = fc.integer({ min: Date.UTC(1900, 0, 1) / 1_000, max: Date.UTC(2100, 0, 1) / 1_000 });
  fc.assert(
    fc.property(second, (at) => {
      const [day, time] = localTime(at * 1_000).split(' ');
      const iso = toNewYorkIso(at * 1_000);
      expect([newYorkDay(at * 1_000), iso.slice(0, 19), Date.parse(iso)]).toEqual([day, `${day}T${time}`, at * 1_000]);
    }),
    { numRuns: 2_000 },
  );
});

test('a midnight is the first instant of its day, every day from 1970 to 2050', () => {
  const wrong: string[] = [];
  for (let utc = Date.UTC(1970, 0, 1); utc < Date.UTC(2050, 0, 1); utc += DAY_MS) {
    const day = new Date(utc).toISOString().slice(0, 10);
    const midnight = newYorkMidnight(day);
    if (toNewYorkIso(midnight).slice(0, 19) !== `${day}T00:00:00` || newYorkDay(midnight - 1) >= day) wrong.push(day);
  }
  expect(wrong).toEqual([]);
});

test('a time is written with its offset, and with milliseconds where there are some', () => {
  expect(toNewYorkIso(Date.UTC(2024, 0, 15, 14, 30))).toBe('2024-01-15T09:30:00-05:00');
  expect(toNewYorkIso(Date.UTC(2024, 6, 15, 13, 30, 0, 250))).toBe('2024-07-15T09:30:00.250-04:00');
});

test.each(['2024-02-30', '2024-1-1', '20240101', ''])('"%s" is refused as a day', (day) => {
  expect(() => newYorkMidnight(day)).toThrow(RangeError);
});

test('a year as far off as HTTP allows works as well', () => {
  expect(toNewYorkIso(newYorkMidnight('9999-12-31'))).toBe('9999-12-31T00:00:00-05:00');
  expect(newYorkDay(newYorkMidnight('1000-01-01'))).toBe('1000-01-01');
});
