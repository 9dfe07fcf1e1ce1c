import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { MONDAY_OPEN } from '@candlewire/testkit';
import { createRollCall, type RollCall } from './roll-call';

const calendar = loadCalendar('nyse');
const OPEN = MONDAY_OPEN;
/** When the bars of a minute should have come. */
const after = (minute: number) => OPEN + (minute + 1) * MINUTE_MS + 20_000;
const at = (minute: number) => OPEN + minute * MINUTE_MS;

/** Of a connection that is live since the minute before the opening, with these symbols. */
function started(symbols: readonly string[], delayMs = 0): RollCall {
  const rollCall = createRollCall({ calendar, timings: { missedMs: 20_000 }, delayMs });
  rollCall.began(OPEN - 30_000 + delayMs);
  rollCall.due(symbols, OPEN - 30_000 + delayMs);
  return rollCall;
}

test('asks once a minute, of those whose minute did not come', () => {
  const it = started(['A', 'B', 'C']);
  it.arrived('B', at(0));
  expect(it.due(['A', 'B', 'C'], after(0) - 1)).toEqual([]);
  expect(it.due(['A', 'B', 'C'], after(0))).toEqual(['A', 'C']);
  expect(it.due(['A', 'B', 'C'], after(0) + 1)).toEqual([]);
  it.arrived('A', at(1));
  expect(it.due(['A', 'B', 'C'], after(1))).toEqual(['B', 'C']);
});

test('knows what was missed, and from when on nothing is certain, until the next bar comes', () => {
  const it = started(['A', 'B']);
  it.arrived('A', at(0));
  for (const minute of [0, 1, 2]) it.due(['A', 'B'], after(minute));
  expect(
    it.answered(
      new Map([
        ['A', at(2)],
        ['B', at(1)],
      ]),
    ),
  ).toBe(at(2));
  expect([...it.missed()]).toEqual([
    ['A', at(1)],
    ['B', at(0)],
  ]);
  it.arrived('A', at(3));
  expect([...it.missed().keys()]).toEqual(['B']);
});

test('takes nothing for missed that came, is still to come, or was before', () => {
  const it = started(['A', 'B', 'C']);
  it.arrived('A', at(0));
  it.due(['A', 'B', 'C'], after(0));
  const newest = [
    ['A', at(0)],
    ['B', at(1)],
    ['C', at(-1)],
    ['D', at(0)],
  ] as const;
  expect(it.answered(new Map(newest))).toBeNull();
  expect(it.missed().size).toBe(0);
});

test('of a symbol that joins its first whole minute counts, and of one that leaves nothing is kept', () => {
  const it = started(['A']);
  expect(it.due(['A', 'B'], at(1) + 30_000)).toEqual(['A']);
  expect(it.due(['A', 'B'], after(1))).toEqual(['A']);
  expect(it.answered(new Map([['B', at(1)]]))).toBeNull();
  expect(it.due(['A', 'B'], after(2))).toEqual(['A', 'B']);
  expect(it.answered(new Map([['B', at(2)]]))).toBe(at(2));
  it.due(['A'], after(3));
  expect(it.missed().size).toBe(0);
});

test('a new connection is not asked for what the last one missed', () => {
  const it = started(['A']);
  it.due(['A'], after(0));
  it.answered(new Map([['A', at(0)]]));
  it.began(after(0));
  expect(it.missed().size).toBe(0);
  it.due(['A'], after(0));
  expect(it.due(['A'], after(1))).toEqual([]);
  expect(it.answered(new Map([['A', at(1)]]))).toBeNull();
  expect(it.due(['A'], after(2))).toEqual(['A']);
});

test('asks nothing while the exchange is closed', () => {
  const it = started(['A']);
  const night = OPEN + 12 * HOUR_MS;
  expect(it.due(['A'], night)).toEqual([]);
  expect(it.due(['A'], night + MINUTE_MS)).toEqual([]);
});

test('of a feed that is late asks as much later', () => {
  const delayMs = 15 * MINUTE_MS;
  const it = started(['A'], delayMs);
  expect(it.due(['A'], after(0) + delayMs - 1)).toEqual([]);
  expect(it.due(['A'], after(0) + delayMs)).toEqual(['A']);
  expect(it.answered(new Map([['A', at(0)]]))).toBe(at(0));
});

test('asks about many in turns, and all of them get theirs', () => {
  const symbols = Array.from({ length: 450 }, (_, n) => `S${n}`);
  const it = started(symbols);
  const asked = [0, 1, 2].map((minute) => it.due(symbols, after(minute)));
  expect(asked.map(({ length }) => length)).toEqual([200, 200, 200]);
  expect(new Set(asked.flat()).size).toBe(450);
});
