import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOUR_MS, type Interval, MINUTE_MS } from '@candlewire/contracts';
import fc from 'fast-check';
import { createCalendar } from './create-calendar';

const TABLE = readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8');
const EXAMPLES = join(__dirname, '../../../../../shared/candles-example');

const nyse = createCalendar('nyse', TABLE);
const always = createCalendar('24x7', '');

/** Statuses of the last minute before and the first minute from each local time on. */
function around(day: string, offset: string, ...times: string[]): string[] {
  return times.map((time) => {
    const ms = Date.parse(`${day}T${time}:00${offset}`);
    return `${nyse.statusOf(ms - MINUTE_MS)} ${time} ${nyse.statusOf(ms)}`;
  });
}

describe('a session of the exchange', () => {
  const usual = [
    'closed 04:00 pre',
    'pre 09:30 regular',
    'regular 16:00 post',
    'post 20:00 closed',
    'closed 00:00 closed',
  ];
  test.each([
    ['in winter', '2024-01-16', '-05:00'],
    ['in summer', '2024-07-16', '-04:00'],
    ['after the clocks went forward', '2026-03-09', '-04:00'],
    ['after the clocks went back', '2026-11-02', '-05:00'],
  ])('has pre, regular and post minutes %s', (_, day, offset) => {
    expect(around(day, offset, '04:00', '09:30', '16:00', '20:00', '00:00')).toEqual(usual);
  });

  test('that closes early has a post session of four hours', () => {
    const expected = ['closed 04:00 pre', 'pre 09:30 regular', 'regular 13:00 post', 'post 17:00 closed'];
    expect(around('2025-07-03', '-04:00', '04:00', '09:30', '13:00', '17:00')).toEqual(expected);
  });

  test('closes when the table says so', () => {
    const calendar = createCalendar('nyse', 'date,kind,close_time_local,name\n2024-01-16,early_close,11:35,Blizzard\n');
    const statuses = ['11:34', '11:35', '15:34', '15:35'].map((time) =>
      calendar.statusOf(Date.parse(`2024-01-16T${time}:00-05:00`)),
    );
    expect(statuses).toEqual(['regular', 'post', 'post', 'closed']);
  });

  test.each([
    ['a holiday', '2025-07-04'],
    ['a day of mourning', '2025-01-09'],
    ['a Saturday', '2025-07-05'],
    ['a Sunday', '2025-07-06'],
  ])('does not take place on %s', (_, day) => {
    const midnight = Date.parse(`${day}T05:00:00Z`);
    const statuses = Array.from({ length: 23 }, (_unused, hour) => nyse.statusOf(midnight + hour * HOUR_MS));
    expect(new Set(statuses)).toEqual(new Set(['closed']));
  });

  test('takes place on each weekday of years that the table does not know', () => {
    expect(nyse.lastYear).toBe(2027);
    expect(nyse.statusOf(Date.parse('2028-12-25T10:00:00-05:00'))).toBe('regular');
    expect(nyse.statusOf(Date.parse('2014-12-25T10:00:00-05:00'))).toBe('regular');
    expect(nyse.statusOf(Date.parse('2028-12-24T10:00:00-05:00'))).toBe('closed');
  });
});

test('a status does not depend on what was asked before', () => {
  const minute = fc.integer({ min: Date.UTC(2014, 0, 1) / MINUTE_MS, max: Date.UTC(2029, 0, 1) / MINUTE_MS });
  fc.assert(
    fc.property(minute, (at) => {
      expect(nyse.statusOf(at * MINUTE_MS)).toBe(createCalendar('nyse', TABLE).statusOf(at * MINUTE_MS));
    }),
    { numRuns: 200 },
  );
  // More days than the calendar keeps, twice.
  const mornings = Array.from({ length: 3_000 }, (_, i) => Date.UTC(2015, 0, 1 + i, 15));
  const statuses = (): string[] => mornings.map((ms) => nyse.statusOf(ms));
  expect(statuses()).toEqual(statuses());
  expect(statuses().filter((status) => status === 'regular')).toHaveLength(2_066);
});

describe('candles begin and end', () => {
  const at = (time: string): number => Date.parse(`2024-07-16T${time}-04:00`);
  const edges: [Interval, string, string, string][] = [
    ['1m', '09:31:59.999', '09:31:00', '09:32:00'],
    ['5m', '09:31:59.999', '09:30:00', '09:35:00'],
    ['1h', '09:31:59.999', '09:00:00', '10:00:00'],
    ['1d', '09:31:59.999', '00:00:00', '20:00:00'],
    ['1d', '23:59:59.999', '00:00:00', '20:00:00'],
  ];
  test.each(edges)('%s candle of %s at %s and %s', (interval, time, open, close) => {
    const openTime = nyse.openTimeOf(interval, at(time));
    expect([openTime, nyse.closeTimeOf(interval, openTime)]).toEqual([at(open), at(close)]);
  });

  test('a fixed width on either side of 1970', () => {
    expect(nyse.openTimeOf('5m', -1)).toBe(-5 * MINUTE_MS);
    expect(nyse.openTimeOf('5m', 0)).toBe(0);
  });

  test.each([
    ['with the post session', '2024-07-16T00:00:00-04:00', '2024-07-16T20:00:00-04:00'],
    ['with the early post session', '2024-11-29T00:00:00-05:00', '2024-11-29T17:00:00-05:00'],
    ['at midnight without a session', '2024-11-28T00:00:00-05:00', '2024-11-29T00:00:00-05:00'],
    ['at midnight of a Sunday of 23 hours', '2026-03-08T00:00:00-05:00', '2026-03-09T00:00:00-04:00'],
    ['at midnight of a Sunday of 25 hours', '2026-11-01T00:00:00-04:00', '2026-11-02T00:00:00-05:00'],
  ])('a day of the exchange ends %s', (_, openTime, closeTime) => {
    expect(nyse.closeTimeOf('1d', Date.parse(openTime))).toBe(Date.parse(closeTime));
  });

  test('the next day begins at the next midnight of New York, also in days of 23 and 25 hours', () => {
    const next = (time: string): string => new Date(nyse.nextDay(Date.parse(time))).toISOString();
    expect(next('2026-03-08T00:00:00-05:00')).toBe('2026-03-09T04:00:00.000Z');
    expect(next('2026-11-01T23:59:59-05:00')).toBe('2026-11-02T05:00:00.000Z');
    expect(next('2024-12-31T12:00:00-05:00')).toBe('2025-01-01T05:00:00.000Z');
  });
});

describe('a market that never closes', () => {
  test('is regular at any time, and needs no table', () => {
    const hours = Array.from({ length: 24 * 7 }, (_, i) => always.statusOf(Date.UTC(2024, 11, 22, i)));
    expect(new Set(hours)).toEqual(new Set(['regular']));
    expect([always.kind, always.lastYear]).toEqual(['24x7', null]);
  });

  test("has New York's days, each until the next midnight", () => {
    const openTime = always.openTimeOf('1d', Date.parse('2026-03-08T12:00:00Z'));
    expect(openTime).toBe(Date.parse('2026-03-08T05:00:00Z'));
    expect(always.closeTimeOf('1d', openTime)).toBe(Date.parse('2026-03-09T04:00:00Z'));
    expect(always.nextDay(openTime)).toBe(Date.parse('2026-03-09T04:00:00Z'));
  });
});

test('a table that cannot be read is refused by line', () => {
  expect(() => createCalendar('nyse', 'date,kind,close_time_local,name\n2024-13-01,holiday,,\n')).toThrow('line 2');
});

for (const interval of ['5m', '1d'] as const) {
  const file = join(EXAMPLES, `expected_${interval}.csv`);
  const title = `status and left edge of the example's ${interval} candles are right (skipped without expected_${interval}.csv)`;
  (existsSync(file) ? test : test.skip)(title, () => {
    const [header, ...lines] = readFileSync(file, 'utf8').trim().split('\n');
    const [ts, status] = ['ts', 'market_status'].map((column) => header!.split(',').indexOf(column)) as [
      number,
      number,
    ];
    const wrong = lines.filter((line) => {
      const cells = line.split(',');
      const openTime = Date.parse(cells[ts]!);
      const inside = interval === '1d' ? openTime + 10 * HOUR_MS : openTime;
      return nyse.statusOf(inside) !== cells[status] || nyse.openTimeOf(interval, inside) !== openTime;
    });
    expect(lines.length).toBeGreaterThan(0);
    expect(wrong).toEqual([]);
  });
}
