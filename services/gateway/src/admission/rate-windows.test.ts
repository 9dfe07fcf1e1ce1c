import { RateWindows } from './rate-windows';

let now = 1_000_000;
const hits = (windows: RateWindows, caller: string): number => windows.increment(caller).totalHits;

test('calls are counted by caller until the window ends, and then from one again', () => {
  const windows = new RateWindows(10_000, () => now);
  expect([hits(windows, 'a'), hits(windows, 'a'), hits(windows, 'b')]).toEqual([1, 2, 1]);
  now += 9_999;
  expect([hits(windows, 'a'), windows.msLeft()]).toEqual([3, 1]);
  now += 1;
  expect([windows.msLeft(), hits(windows, 'a'), windows.msLeft()]).toEqual([0, 1, 10_000]);
});

test('a clock that is set back begins a new window', () => {
  const windows = new RateWindows(10_000, () => now);
  hits(windows, 'a');
  now -= 3_600_000;
  expect([hits(windows, 'a'), windows.msLeft()]).toEqual([1, 10_000]);
});

test('more callers than are told apart are counted as one; those known before are not disturbed', () => {
  const windows = new RateWindows(10_000, () => now, 2);
  expect(['a', 'b', 'c', 'd', 'e', 'a', 'b'].map((caller) => hits(windows, caller))).toEqual([1, 1, 1, 2, 3, 2, 2]);
});
