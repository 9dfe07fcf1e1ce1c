import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import type { StoredHistory } from '@candlewire/store';
import { planFills } from './plan';

const calendar = loadCalendar('24x7');
/** Tuesday 2025-11-04 10:00:30 New York; summer time ended on Sunday. */
const NOW = Date.UTC(2025, 10, 4, 15, 0, 30);
const MINUTE = NOW - 30_000;
const MIDNIGHTS = [
  Date.UTC(2025, 10, 4, 5),
  Date.UTC(2025, 10, 3, 5),
  Date.UTC(2025, 10, 2, 4),
  Date.UTC(2025, 10, 1, 4),
];
const [TODAY, MONDAY, SUNDAY, SATURDAY] = MIDNIGHTS as [number, number, number, number];

const planned = (stored: Omit<StoredHistory, 'symbol'>, historyDays = 2) => {
  const { ranges, begins } = planFills([{ symbol: 'A', ...stored }], NOW, { calendar, historyDays, marginMs: HOUR_MS });
  return { ranges: ranges.map(({ from, to, priority }) => [from, to, priority]), begins };
};
const none = { symbols: [], from: SUNDAY };

test.each<[string, Omit<StoredHistory, 'symbol'>, number[][], object]>([
  [
    'never asked for: the current day and as many before it as are wanted, each its own, newest first',
    { lastOpenTime: null, historyFrom: null },
    [
      [TODAY, MINUTE, 1],
      [MONDAY, TODAY, 2],
      [SUNDAY, MONDAY, 3],
    ],
    { symbols: ['A'], from: SUNDAY },
  ],
  [
    'watched before it was registered: as if nothing was stored',
    { lastOpenTime: NOW - HOUR_MS, historyFrom: null },
    [
      [TODAY, MINUTE, 1],
      [MONDAY, TODAY, 2],
      [SUNDAY, MONDAY, 3],
    ],
    { symbols: ['A'], from: SUNDAY },
  ],
  [
    'stored up to the minute before: an hour before it again',
    { lastOpenTime: MINUTE - MINUTE_MS, historyFrom: SATURDAY },
    [[MINUTE - MINUTE_MS - HOUR_MS, MINUTE, 1]],
    none,
  ],
  [
    'stored up to shortly after midnight: the margin is split at it',
    { lastOpenTime: TODAY + MINUTE_MS, historyFrom: SATURDAY },
    [
      [TODAY, MINUTE, 1],
      [TODAY + MINUTE_MS - HOUR_MS, TODAY, 2],
    ],
    none,
  ],
  [
    'stored up to a day that is longer ago than a first fill reaches: all since then, over the day of 25 hours',
    { lastOpenTime: SATURDAY + 5 * HOUR_MS, historyFrom: SATURDAY },
    [
      [TODAY, MINUTE, 1],
      [MONDAY, TODAY, 2],
      [SUNDAY, MONDAY, 3],
      [SATURDAY + 4 * HOUR_MS, SUNDAY, 4],
    ],
    none,
  ],
  [
    'asked for and nothing came: all of it again',
    { lastOpenTime: null, historyFrom: MONDAY },
    [
      [TODAY, MINUTE, 1],
      [MONDAY, TODAY, 2],
    ],
    none,
  ],
  ['stored ahead of the clock: nothing', { lastOpenTime: NOW + 2 * HOUR_MS, historyFrom: SATURDAY }, [], none],
])('%s', (_, stored, ranges, begins) => {
  expect(planned(stored)).toEqual({ ranges, begins });
});

test('without history days nothing is filled at first, and later everything since then', () => {
  expect(planned({ lastOpenTime: null, historyFrom: null }, 0)).toEqual({
    ranges: [],
    begins: { symbols: ['A'], from: MINUTE },
  });
  expect(planned({ lastOpenTime: null, historyFrom: MINUTE - HOUR_MS }, 0).ranges).toEqual([
    [MINUTE - HOUR_MS, MINUTE, 1],
  ]);
});

test('the newest day of all symbols comes before older days of any', () => {
  const stored = ['A', 'B', 'C'].map((symbol) => ({ symbol, lastOpenTime: null, historyFrom: null }));
  const { ranges } = planFills(stored, NOW, { calendar, historyDays: 1, marginMs: HOUR_MS });
  expect(ranges.map(({ symbol, from }) => [symbol, from])).toEqual(
    [TODAY, MONDAY].flatMap((from) => ['A', 'B', 'C'].map((symbol) => [symbol, from])),
  );
});
