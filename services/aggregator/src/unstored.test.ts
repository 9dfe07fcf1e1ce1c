import { NOTHING, waitsMs, withEntries } from './unstored';

const entry = (number: number) => ({ number, barsTotal: 0, text: '' });
const clocks = (size: number) => ({ size, bars: 0, last: entry(size) });
const bars = (count: number) => ({ size: 1, bars: count, last: entry(1) });

test('where nothing waits no time comes at which it is to be stored', () => {
  expect(waitsMs(NOTHING, 1e9)).toBe(Number.POSITIVE_INFINITY);
});

test('bars wait two seconds from the first of them, whatever follows', () => {
  let unstored = withEntries(NOTHING, clocks(1), 0);
  unstored = withEntries(unstored, bars(3), 1_000);
  unstored = withEntries(unstored, bars(3), 2_500);
  unstored = withEntries(unstored, clocks(1), 2_600);
  expect(waitsMs(unstored, 2_999)).toBe(1);
  expect(waitsMs(unstored, 3_000)).toBe(0);
});

test('a full entry of bars does not wait', () => {
  expect(waitsMs(withEntries(NOTHING, bars(499), 0), 0)).toBe(2_000);
  expect(waitsMs(withEntries(NOTHING, bars(500), 0), 0)).toBe(0);
});

test('clocks wait for as many as can be read at once, and never for the time', () => {
  const some = withEntries(NOTHING, clocks(255), 0);
  expect(waitsMs(some, 1e9)).toBe(Number.POSITIVE_INFINITY);
  expect(waitsMs(withEntries(some, clocks(1), 0), 0)).toBe(0);
});

test('the last entry is the newest of all that wait', () => {
  expect(withEntries(withEntries(NOTHING, bars(1), 0), clocks(7), 0).last).toEqual(entry(7));
});
