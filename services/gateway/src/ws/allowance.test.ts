import { Allowance } from './allowance';

test('so many at once, then one each time, and never more at once than that', () => {
  const allowance = new Allowance(2, 1 / 1_000, 5_000);
  const takes = (now: number, times: number) => Array.from({ length: times }, () => allowance.take(now));
  expect(takes(5_000, 3)).toEqual([true, true, false]);
  expect(takes(5_999, 1)).toEqual([false]);
  expect(takes(6_001, 2)).toEqual([true, false]);
  expect(takes(3_600_000, 3)).toEqual([true, true, false]);
});
