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
  const rollCall = createRollCall({ calendar, timings: { missedMs: 20_000, errorMs: 5_000 }, delayMs });
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

test('knows what was missed, and from when on nothing is certain, and tells it once', () => {
  const it = started(['A', 'B']);
  it.arrived('A', at(0));
  for (const minute of [0, 1, 2]) it.due(['A', 'B'], after(minute));
  const newest = new Map([
    ['A', at(2)],
    ['B', at(1)],
  ]);
  expect(it.answered(newest)).toEqual(newest);
  expect([...it.takeMissed()]).toEqual([
    ['A', at(1)],
    ['B', at(0)],
  ]);
  expect(it.answered(newest).size).toBe(0);
  expect(it.takeMissed().size).toBe(0);
  it.answered(new Map([['B', at(2)]]));
  expect([...it.takeMissed()]).toEqual([['B', at(2)]]);
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
  expect(it.answered(new Map(newest)).size).toBe(0);
  expect(it.takeMissed().size).toBe(0);
});

test('what is not answered is asked again soon, as long as it is the last minute', () => {
  const it = started(['A']);
  expect(it.due(['A'], after(0))).toEqual(['A']);
  it.failed(after(0) + 1_000);
  expect(it.due(['A'], after(0) + 5_999)).toEqual([]);
  expect(it.due(['A'], after(0) + 6_000)).toEqual(['A']);
  expect(it.due(['A'], after(0) + 30_000)).toEqual([]);
});

test('of a symbol that joins its first whole minute counts', () => {
  const it = started(['A']);
  expect(it.due(['A', 'B'], at(1) + 30_000)).toEqual(['A']);
  expect(it.due(['A', 'B'], after(1))).toEqual(['A']);
  expect(it.answered(new Map([['B', at(1)]])).size).toBe(0);
  expect(it.due(['A', 'B'], after(2))).toEqual(['A', 'B']);
  expect(it.answered(new Map([['B', at(2)]])).size).toBe(1);
});

test('who leaves may have missed its last minute, though it comes back at once', () => {
  const it = started(['A', 'B']);
  it.due(['A'], at(2) + 19_000);
  it.due(['A', 'B'], at(2) + 19_500);
  expect([...it.takeMissed()]).toEqual([['B', at(1)]]);
  it.due(['A'], at(3) + 21_000);
  expect([...it.takeMissed()]).toEqual([['B', at(3)]]);
});

test('a new connection is not asked for what the last one missed, which is told all the same', () => {
  const it = started(['A']);
  it.due(['A'], after(0));
  it.answered(new Map([['A', at(0)]]));
  it.began(after(0));
  it.due(['A'], after(0));
  expect(it.due(['A'], after(1))).toEqual([]);
  expect(it.answered(new Map([['A', at(1)]])).size).toBe(0);
  expect(it.due(['A'], after(2))).toEqual(['A']);
  expect([...it.takeMissed()]).toEqual([['A', at(0)]]);
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
  expect(it.answered(new Map([['A', at(0)]])).size).toBe(1);
});

test('asks about many in turns, and all of them get theirs', () => {
  const symbols = Array.from({ length: 450 }, (_, n) => `S${n}`);
  const it = started(symbols);
  const asked = [0, 1, 2].map((minute) => it.due(symbols, after(minute)));
  expect(asked.map(({ length }) => length)).toEqual([200, 200, 200]);
  expect(new Set(asked.flat()).size).toBe(450);
});
