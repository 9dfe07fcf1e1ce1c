import fc from 'fast-check';
import { isDay, parseInstant, toIso } from './time';

const NOON = Date.UTC(2025, 10, 3, 12);

describe('toIso', () => {
  test('shows milliseconds only where there are any', () => {
    expect(toIso(NOON)).toBe('2025-11-03T12:00:00Z');
    expect(toIso(NOON + 1)).toBe('2025-11-03T12:00:00.001Z');
    expect(toIso(-1)).toBe('1969-12-31T23:59:59.999Z');
    expect(toIso(-1_000)).toBe('1969-12-31T23:59:59Z');
  });

  test('reads back as the same instant', () => {
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9999, 11, 31) }), (ms) => {
        expect(parseInstant(toIso(ms))).toBe(ms);
      }),
    );
  });

  test('whole minutes of any day, in any order, read as a Date says', () => {
    const minutes = fc.integer({ min: Date.UTC(1000, 0, 1) / 60_000, max: Date.UTC(9999, 11, 31) / 60_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(minutes, fc.integer({ min: -1_440, max: 1_440 }))), (pairs) => {
        for (const [minute, step] of pairs) {
          for (const ms of [minute * 60_000, (minute + step) * 60_000]) {
            expect(toIso(ms)).toBe(new Date(ms).toISOString().replace('.000', ''));
          }
        }
      }),
    );
  });

  test('refuses what is no time, and works after it', () => {
    expect(() => toIso(Number.NaN)).toThrow(RangeError);
    expect(() => toIso(1e300)).toThrow(RangeError);
    expect(toIso(NOON)).toBe('2025-11-03T12:00:00Z');
  });
});

describe('parseInstant', () => {
  test.each([
    ['2025-11-03T12:00:00Z', 'UTC'],
    ['2025-11-03t12:00:00z', 'lower case'],
    ['2025-11-03 12:00:00Z', 'a space between day and time'],
    ['2025-11-03T12:00:00+00:00', 'a zone of nothing'],
    ['2025-11-03T12:00:00-00:00', 'a zone of minus nothing'],
    ['2025-11-03T07:00:00-05:00', 'a zone to the west'],
    ['2025-11-03T17:30:00+05:30', 'a zone of half an hour'],
    ['2025-11-04T11:59:00+23:59', 'the farthest zone east'],
    ['2025-11-02T12:01:00-23:59', 'the farthest zone west'],
    ['2025-11-03T12:00:00.0Z', 'a fraction of nothing'],
  ])('%s is noon (%s)', (text) => {
    expect(parseInstant(text)).toBe(NOON);
  });

  test('a fraction counts by whole milliseconds, what is below them is dropped', () => {
    expect(parseInstant('2025-11-03T12:00:00.5Z')).toBe(NOON + 500);
    expect(parseInstant('2025-11-03T12:00:00.001Z')).toBe(NOON + 1);
    expect(parseInstant('2025-11-03T12:00:00.0019999Z')).toBe(NOON + 1);
    expect(parseInstant('2025-11-03T12:00:00.999999999Z')).toBe(NOON + 999);
    expect(parseInstant('2025-11-03T12:00:00.99999999999999999999Z')).toBe(NOON + 999);
    expect(parseInstant('1969-12-31T23:59:59.25Z')).toBe(-750);
  });

  test('a leap day exists in leap years alone', () => {
    expect(parseInstant('2024-02-29T00:00:00Z')).toBe(Date.UTC(2024, 1, 29));
    expect(parseInstant('2000-02-29T00:00:00Z')).toBe(Date.UTC(2000, 1, 29));
    expect(parseInstant('2023-02-29T00:00:00Z')).toBeNull();
    expect(parseInstant('1900-02-29T00:00:00Z')).toBeNull();
  });

  test.each([
    ['', 'nothing'],
    ['2025-11-03', 'a day'],
    ['2025-11-03T12:00:00', 'no zone'],
    ['2025-11-03T12:00Z', 'no seconds'],
    ['2025-11-03T12:00:00+0000', 'a zone without colon'],
    ['2025-11-03T12:00:00+00', 'a zone without minutes'],
    ['2025-11-03T12:00:00.Z', 'a point without fraction'],
    ['2025-11-03T12:00:00,5Z', 'a comma for a point'],
    ['2025-11-03T24:00:00Z', 'hour 24'],
    ['2025-11-03T12:60:00Z', 'minute 60'],
    ['2025-11-03T12:00:60Z', 'a leap second'],
    ['2025-11-03T12:00:00+24:00', 'a zone of 24 hours'],
    ['2025-11-03T12:00:00+00:60', 'a zone of 60 minutes'],
    ['2025-00-03T12:00:00Z', 'month 0'],
    ['2025-13-03T12:00:00Z', 'month 13'],
    ['2025-11-00T12:00:00Z', 'day 0'],
    ['2025-02-30T12:00:00Z', 'a 30th of February'],
    ['2025-04-31T12:00:00Z', 'a 31st of April'],
    ['0999-12-31T12:00:00Z', 'a year before 1000'],
    ['25-11-03T12:00:00Z', 'two digits of year'],
    ['12025-11-03T12:00:00Z', 'five digits of year'],
    ['2025-11-03T12:00:00Z ', 'something behind it'],
    ['2025-11-03T12:00:00Z\n', 'a line end behind it'],
    [' 2025-11-03T12:00:00Z', 'something before it'],
    ['٢٠٢٥-11-03T12:00:00Z', 'digits of another script'],
  ])('%p is no instant (%s)', (text) => {
    expect(parseInstant(text)).toBeNull();
  });
});

describe('isDay', () => {
  test('is true of days that exist', () => {
    for (const day of ['2025-11-03', '2024-02-29', '2025-12-31', '1000-01-01'])
      expect([day, isDay(day)]).toEqual([day, true]);
  });

  test('is false of anything else', () => {
    for (const day of [
      '',
      '2025-02-29',
      '2025-11-31',
      '2025-13-01',
      '2025-00-01',
      '0999-12-31',
      '2025-1-3',
      '2025-11-03T00:00:00Z',
    ])
      expect([day, isDay(day)]).toEqual([day, false]);
  });
});
