import { createCalendar } from '@candlewire/candles';
import { intervalOf, limitOf, type Query, rangeOf, symbolOf } from './params';

const calendar = createCalendar('24x7', '');
const range = (query: Query) => rangeOf(query, calendar);
const utc = (iso: string): number => Date.parse(iso);

describe('symbol', () => {
  test('is raised to upper case', () => expect(symbolOf('brk.b')).toBe('BRK.B'));

  test.each(['', '1A', 'A'.repeat(16), 'A/B', 'AAPL ', 'ÄPFEL', '*', undefined])('%j is refused', (value) => {
    expect(() => symbolOf(value)).toThrow('symbol: must be a letter followed by at most 14 letters, digits or dots');
  });
});

describe('interval', () => {
  test('is 1m where it is not given', () => expect(intervalOf({})).toBe('1m'));

  test.each(['', '1M', '1Min', '2m', '1m ', '__proto__'])('%j is refused', (interval) => {
    expect(() => intervalOf({ interval })).toThrow('interval: must be one of 1m, 5m, 1h, 1d');
  });
});

describe('limit', () => {
  test('is 100 where it is not given', () => expect(limitOf({})).toBe(100));
  test.each([1, 999, 1000])('%i is taken', (limit) => expect(limitOf({ limit: `${limit}` })).toBe(limit));

  test.each(['', '0', '1001', '-1', '1.5', '1e2', ' 5', '0x10', 'NaN', '99999999999999999999'])(
    '%j is refused',
    (limit) => {
      expect(() => limitOf({ limit })).toThrow('limit: must be a whole number from 1 to 1000');
    },
  );
});

describe('start and end', () => {
  test('are open where they are absent or empty', () => {
    expect(range({})).toEqual({ from: null, to: null });
    expect(range({ start: '', end: '' })).toEqual({ from: null, to: null });
  });

  test('are instants with any zone', () => {
    expect(range({ start: '2025-11-03T09:30:00-05:00', end: '2025-11-03T14:30:00.250Z' })).toEqual({
      from: utc('2025-11-03T14:30:00Z'),
      to: utc('2025-11-03T14:30:00.250Z'),
    });
  });

  test('take a zone whose plus was decoded to a space', () => {
    expect(range({ start: '2025-11-03T15:30:00 01:00' }).from).toBe(utc('2025-11-03T14:30:00Z'));
  });

  test.each([
    ['in winter', '2025-11-03', '2025-11-03T05:00:00Z', '2025-11-04T05:00:00Z'],
    ['in summer', '2025-07-03', '2025-07-03T04:00:00Z', '2025-07-04T04:00:00Z'],
    ['of 23 hours', '2026-03-08', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z'],
    ['of 25 hours', '2025-11-02', '2025-11-02T04:00:00Z', '2025-11-03T05:00:00Z'],
    ['at the end of all years', '9999-12-31', '9999-12-31T05:00:00Z', '+010000-01-01T05:00:00Z'],
  ])('name with a day %s the whole of it in New York', (_which, day, from, next) => {
    expect(range({ start: day, end: day })).toEqual({ from: utc(from), to: utc(next) - 1 });
  });

  test.each([
    '2025-11-03T14:30:00',
    '2025-11-03T14:30Z',
    '2025-02-30',
    '2025-11-03 14:30',
    '1762180200000',
    'today',
    '2025-11-03T24:00:00Z',
    '0099-01-01',
  ])('%j is refused by name', (value) => {
    expect(() => range({ start: value })).toThrow(/^start: must be an RFC 3339 instant with zone .* or a day/);
    expect(() => range({ end: value })).toThrow(/^end: must be an RFC 3339 instant with zone .* or a day/);
  });

  test('may meet but not cross', () => {
    const instant = '2025-11-03T14:30:00Z';
    expect(range({ start: instant, end: instant }).from).toBe(utc(instant));
    expect(() => range({ start: '2025-11-03T14:30:00.001Z', end: instant })).toThrow('start: must not be after end');
    expect(() => range({ start: '2025-11-04', end: '2025-11-03' })).toThrow('start: must not be after end');
  });
});
