import { MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { MONDAY_OPEN } from '@candlewire/testkit';
import { createLivenessWatch } from './liveness';

const timings = { lateMs: 20_000, staleMs: 200_000, missedMs: 20_000, errorMs: 5_000 };
const calendar = loadCalendar('nyse');
const ARRIVAL_MS = 50;

function watch(delayMs = 0) {
  const liveness = createLivenessWatch({ calendar, timings, delayMs });
  return {
    ...liveness,
    /** Bars of so many minutes from `from` on, each at its end; those that `has` says. @returns the end of the last minute */
    bars(symbol: string, from: number, minutes: number, has: (n: number) => boolean = () => true) {
      for (let n = 0; n < minutes; n++) {
        const openTime = from + n * MINUTE_MS;
        if (has(n)) liveness.arrived(symbol, openTime, 0, openTime + MINUTE_MS + ARRIVAL_MS + delayMs);
      }
      return from + minutes * MINUTE_MS + delayMs;
    },
  };
}

test('a liquid symbol whose minute does not come is late after 20 s, and stale after 200 s without a bar', () => {
  const it = watch();
  const end = it.bars('A', MONDAY_OPEN, 30);
  const judge = (ms: number) => it.judge(['A'], end + ms);
  expect([judge(MINUTE_MS), judge(MINUTE_MS + 19_999), judge(MINUTE_MS + 20_000)]).toEqual(['well', 'well', 'late']);
  expect([judge(ARRIVAL_MS + 199_999), judge(ARRIVAL_MS + 200_000)]).toEqual(['late', 'stale']);
});

test('a bar of any symbol ends the suspicion', () => {
  const it = watch();
  const end = it.bars('A', MONDAY_OPEN, 30);
  expect(it.judge(['A', 'B'], end + 90_000)).toBe('late');
  it.arrived('B', end, 0, end + 90_000);
  expect(it.judge(['A', 'B'], end + 90_000)).toBe('well');
});

test('a symbol is liquid with 14 of its last 15 minutes, and not with 13', () => {
  const [some, few] = [watch(), watch()];
  const end = some.bars('A', MONDAY_OPEN, 30, (n) => n !== 20);
  few.bars('A', MONDAY_OPEN, 30, (n) => n !== 20 && n !== 25);
  expect([some.judge(['A'], end + 90_000), few.judge(['A'], end + 90_000)]).toEqual(['late', 'well']);
});

test('nothing is expected of symbols that are not subscribed', () => {
  const it = watch();
  const end = it.bars('A', MONDAY_OPEN, 30);
  expect(it.judge(['B'], end + 300_000)).toBe('well');
});

test('silence after the close, at night and on holidays is well', () => {
  const close = MONDAY_OPEN + 390 * MINUTE_MS;
  const it = watch();
  it.bars('A', close - 30 * MINUTE_MS, 30);
  expect([5, 60, 1_000].map((minutes) => it.judge(['A'], close + minutes * MINUTE_MS))).toEqual([
    'well',
    'well',
    'well',
  ]);
});

test('what was learned yesterday holds at the opening, before the first bar and after it', () => {
  const it = watch();
  it.bars('A', MONDAY_OPEN, 390);
  const open = MONDAY_OPEN + 24 * 60 * MINUTE_MS;
  it.began(open - 60 * MINUTE_MS);
  expect(it.judge(['A'], open + MINUTE_MS - 1)).toBe('well');
  expect(it.judge(['A'], open + 80_000)).toBe('late');
  expect(it.judge(['A'], open + 199_999)).toBe('late');
  expect(it.judge(['A'], open + 200_000)).toBe('stale');
  it.arrived('A', open, 0, open + 210_000);
  expect(it.judge(['A'], open + 320_000)).toBe('late');
});

test('a night on one connection makes nobody forget', () => {
  const it = watch();
  it.bars('A', MONDAY_OPEN, 390);
  const open = MONDAY_OPEN + 24 * 60 * MINUTE_MS;
  const end = it.bars('A', open, 1);
  expect(it.judge(['A'], end + 80_000)).toBe('late');
});

test('minutes in which there was no connection say nothing of a symbol', () => {
  const it = watch();
  const end = it.bars('A', MONDAY_OPEN, 30);
  it.began(end + 20 * MINUTE_MS);
  it.bars('A', end + 20 * MINUTE_MS, 1);
  expect(it.judge(['A'], end + 22 * MINUTE_MS + 20_000)).toBe('late');
});

test('a new connection has its time before it is stale, and after silence that it did not end the next has twice as much', () => {
  const it = watch();
  const end = it.bars('A', MONDAY_OPEN, 30);
  expect(it.judge(['A'], end + 201_000)).toBe('stale');
  it.gaveUp();
  it.began(end + 202_000);
  expect(it.judge(['A'], end + 202_000 + 399_000)).toBe('late');
  expect(it.judge(['A'], end + 202_000 + 400_000)).toBe('stale');
  it.arrived('A', end, 0, end + 700_000);
  expect(it.judge(['A'], end + 901_000)).toBe('stale');
});

test('of a feed that is 15 minutes late bars are expected 15 minutes later', () => {
  const delayMs = 15 * MINUTE_MS;
  const it = watch(delayMs);
  const end = it.bars('A', MONDAY_OPEN, 390);
  expect(it.judge(['A'], end + 300_000)).toBe('well');
  const other = watch(delayMs);
  expect(other.judge(['A'], other.bars('A', MONDAY_OPEN, 380) + 300_000)).toBe('stale');
});

describe('a bar that is known and did not come', () => {
  const open = MONDAY_OPEN;

  test('makes the connection stale at once, where nothing came since, though nothing is known of the symbol', () => {
    const it = watch();
    it.began(open - 1);
    expect(it.asks(['A'], open - 1)).toEqual([]);
    expect(it.asks(['A'], open + 80_000)).toEqual(['A']);
    expect(it.judge(['A'], open + 80_000)).toBe('well');
    it.answered(new Map([['A', open]]));
    expect(it.judge(['A'], open + 80_001)).toBe('stale');
  });

  test('on the next connection again makes it stale after 200 s, then after 600 s; meanwhile it is late', () => {
    const it = watch();
    const mute = (now: number) => {
      it.began(now);
      it.asks(['A'], now);
      it.asks(['A'], now + 2 * MINUTE_MS + 20_000);
      it.answered(new Map([['A', now - (now % MINUTE_MS) + MINUTE_MS]]));
    };
    mute(open);
    expect(it.judge(['A'], open + 140_000)).toBe('stale');
    it.gaveUp();
    mute(open + 150_000);
    expect(it.judge(['A'], open + 349_999)).toBe('late');
    expect(it.judge(['A'], open + 350_000)).toBe('stale');
    it.gaveUp();
    mute(open + 360_000);
    expect(it.judge(['A'], open + 959_999)).toBe('late');
    it.arrived('A', open + 900_000, 0, open + 960_050);
    expect(it.judge(['A'], open + 961_000)).toBe('well');
  });

  test('of one symbol is no matter of the connection, where others come', () => {
    const it = watch();
    it.began(open - 1);
    it.asks(['A', 'B'], open - 1);
    it.bars('B', open, 1);
    expect(it.asks(['A', 'B'], open + 80_000)).toEqual(['A']);
    it.answered(new Map([['A', open]]));
    expect(it.judge(['A', 'B'], open + 80_001)).toBe('well');
    expect([...it.takeMissed()]).toEqual([['A', open]]);
  });

  test('came, where an update of it did', () => {
    const it = watch();
    it.began(open - 1);
    it.asks(['A'], open - 1);
    it.arrived('A', open, 1, open + 90_000);
    expect(it.asks(['A'], open + 2 * MINUTE_MS + 20_000)).toEqual(['A']);
    expect(it.answered(new Map([['A', open]]))).toEqual([]);
    expect(it.judge(['A'], open + 2 * MINUTE_MS + 20_001)).toBe('well');
  });
});
