import { DAY_MS, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import type { LiveStretch, StoredHistory } from '@candlewire/store';
import { type PlanRules, planBackfill, planFills, settledBefore } from './plan';

const calendar = loadCalendar('24x7');
const nyse = loadCalendar('nyse');
/** Tuesday 2025-11-04 10:00:30 New York; summer time ended on Sunday. */
const NOW = Date.UTC(2025, 10, 4, 15, 0, 30);
const MINUTE = NOW - 30_000;
const TODAY = Date.UTC(2025, 10, 4, 5);
const MONDAY = Date.UTC(2025, 10, 3, 5);
const SUNDAY = Date.UTC(2025, 10, 2, 4);
const SATURDAY = Date.UTC(2025, 10, 1, 4);

const RULES: PlanRules = {
  calendar,
  statuses: ['pre', 'regular', 'post'],
  historyDays: 2,
  marginMs: HOUR_MS,
  daysAtOnce: 1,
  session: 7,
  room: 100,
};
const stored = (fields: Partial<StoredHistory> = {}): StoredHistory => ({
  symbol: 'A',
  lastOpenTime: null,
  historyFrom: SATURDAY,
  horizon: null,
  answered: [],
  settled: [],
  live: [],
  pending: [],
  ...fields,
});
const span = (from: number, to: number) => ({ from, to });
/** The stream flows since shortly before now. */
const flowing = (from = MINUTE + MINUTE_MS): LiveStretch => ({ session: 7, from, to: from, goesOn: true });
const ended = (from: number, to: number): LiveStretch => ({ session: 6, from, to, goesOn: false });

function planned(fields: Partial<StoredHistory>, rules: Partial<PlanRules> = {}, now = NOW) {
  const { ranges } = planFills([stored(fields)], now, { ...RULES, ...rules });
  return ranges.map(({ from, to, priority }) => [from, to, priority]);
}

const settled = [span(SATURDAY, TODAY)];
const SINCE = MINUTE + MINUTE_MS;

test.each<[string, Partial<StoredHistory>, number[][]]>([
  [
    'never asked for: the current day and as many before it as are wanted, each its own, newest first',
    { historyFrom: null, live: [flowing()] },
    [
      [TODAY, SINCE, 1],
      [MONDAY, TODAY, 2],
      [SUNDAY, MONDAY, 3],
    ],
  ],
  [
    'everything was answered, and the stream has taken over: nothing',
    {
      settled,
      answered: [span(SATURDAY, SINCE)],
      live: [flowing()],
    },
    [],
  ],
  [
    'an outage: from where the stream before it vouches no more, less the margin, to where the one after it begins',
    {
      settled,
      answered: [span(SATURDAY, TODAY + HOUR_MS)],
      live: [ended(TODAY + HOUR_MS, TODAY + 5 * HOUR_MS), flowing()],
    },
    [[TODAY + 4 * HOUR_MS, SINCE, 1]],
  ],
  [
    'what was answered within the margin is not asked for again',
    { settled, answered: [span(SATURDAY, TODAY + 5 * HOUR_MS)], live: [ended(TODAY, TODAY + 5 * HOUR_MS), flowing()] },
    [[TODAY + 5 * HOUR_MS, SINCE, 1]],
  ],
  [
    'a day that is over is fetched once more, whoever vouches for it and whatever was answered before its close',
    { settled: [span(SATURDAY, MONDAY)], answered: [span(MONDAY, SINCE)], live: [ended(MONDAY, TODAY), flowing()] },
    [[MONDAY, TODAY, 2]],
  ],
  [
    'what is being fetched, or was given up, is not planned again',
    {
      settled: [span(SATURDAY, MONDAY)],
      pending: [
        { ...span(MONDAY, MONDAY + HOUR_MS), state: 'failed', reason: 'x' },
        { ...span(TODAY, SINCE), state: 'running', reason: null },
      ],
      live: [flowing()],
    },
    [[MONDAY + HOUR_MS, TODAY, 2]],
  ],
  [
    'minutes before the horizon are not asked for',
    { horizon: MONDAY, live: [flowing()] },
    [
      [TODAY, SINCE, 1],
      [MONDAY, TODAY, 2],
    ],
  ],
])('%s', (_, fields, ranges) => {
  expect(planned(fields)).toEqual(ranges);
});

test('nothing of the current day is asked for while no live bars flow', () => {
  expect(planned({ settled: [span(SATURDAY, MONDAY)] }, { session: null })).toEqual([[MONDAY, TODAY, 2]]);
});

test('of a symbol that is not delivered a quarter of an hour is let come together', () => {
  const answered = (minutes: number) => ({ settled, answered: [span(TODAY, MINUTE - minutes * MINUTE_MS)] });
  expect(planned(answered(14))).toEqual([]);
  expect(planned(answered(15))).toEqual([[MINUTE - 15 * MINUTE_MS, MINUTE, 1]]);
});

test('without history days nothing is filled at first, and later everything since then', () => {
  const none = planFills([stored({ historyFrom: null, live: [flowing(MINUTE)] })], NOW, { ...RULES, historyDays: 0 });
  expect(none).toEqual({ ranges: [], isCut: false, begins: { symbols: ['A'], from: MINUTE } });
  expect(planned({ historyFrom: MINUTE - HOUR_MS, live: [flowing(MINUTE)] })).toEqual([[MINUTE - HOUR_MS, MINUTE, 1]]);
});

test('days are put together, in the same way whenever it is asked, and the current one stays by itself', () => {
  const from = TODAY - 30 * DAY_MS;
  const ranges = planned({ historyFrom: from, live: [flowing()] }, { daysAtOnce: 10 });
  expect(ranges[0]).toEqual([TODAY, SINCE, 1]);
  expect(ranges).toHaveLength(5);
  const later = planned({ historyFrom: from, live: [flowing()] }, { daysAtOnce: 10 }, NOW + DAY_MS);
  expect(later.slice(-3).map(([begin, to]) => [begin, to])).toEqual(ranges.slice(-3).map(([begin, to]) => [begin, to]));
});

test('nights and weekends are not asked for', () => {
  const monday = Date.UTC(2025, 10, 3, 8, 30);
  const fields = { historyFrom: Date.UTC(2025, 9, 31, 4), settled: [span(0, SATURDAY)], live: [flowing(monday)] };
  expect(planned(fields, { calendar: nyse }, monday)).toEqual([]);
  const open = monday + 45 * MINUTE_MS;
  expect(planned({ ...fields, live: [flowing(open)] }, { calendar: nyse }, open)).toEqual([[MONDAY, open, 1]]);
});

test('a day counts as settled 20 minutes after the end of its last session', () => {
  const close = Date.UTC(2025, 10, 4, 1, 20);
  expect(settledBefore(close - 1, nyse)).toBe(MONDAY);
  expect(settledBefore(close, nyse)).toBe(TODAY);
  expect(settledBefore(TODAY + 20 * MINUTE_MS - 1, calendar)).toBe(MONDAY);
  expect(settledBefore(TODAY + 20 * MINUTE_MS, calendar)).toBe(TODAY);
});

test('no more is planned than there is room for: the newest of all symbols', () => {
  const symbols = ['A', 'B', 'C'].map((symbol) => stored({ symbol, historyFrom: null, live: [flowing()] }));
  const plan = planFills(symbols, NOW, { ...RULES, historyDays: 500, room: 6 });
  expect(plan.isCut).toBe(true);
  expect(plan.ranges.map(({ symbol, from }) => [symbol, from])).toEqual(
    [TODAY, MONDAY].flatMap((from) => ['A', 'B', 'C'].map((symbol) => [symbol, from])),
  );
});

test('what was asked for is planned whatever was answered, but for what is done or under way', () => {
  const parts = [
    { symbol: 'A', taken: [span(MONDAY, TODAY)] },
    { symbol: 'B', taken: [] },
  ];
  const ranges = planBackfill('id', span(SUNDAY, MINUTE), parts, NOW, RULES);
  expect(ranges.map(({ symbol, from, to, backfill }) => [symbol, from, to, backfill])).toEqual([
    ['A', TODAY, MINUTE, 'id'],
    ['B', TODAY, MINUTE, 'id'],
    ['B', MONDAY, TODAY, 'id'],
    ['A', SUNDAY, MONDAY, 'id'],
    ['B', SUNDAY, MONDAY, 'id'],
  ]);
});
