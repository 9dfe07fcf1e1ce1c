import { Change } from './change';
import type { Changes, Snapshot } from './reader';
import { Recent, RecentBudget } from './recent';

const NAME = { symbol: 'AAPL', interval: '1m' } as const;
const change = (seq: number) => Change.ofCandle(NAME, 'e', seq, `{"seq":${seq}}`);
const page = (seqs: readonly number[], seq: number, isWhole = true): Changes => ({
  epoch: 'e',
  seq,
  isWhole,
  changes: seqs.map(change),
});
const snapshot = (seq: number) => ({ epoch: 'e', seq, frame: () => Buffer.alloc(100) }) as unknown as Snapshot;

let budget: RecentBudget;
let recent: Recent;
beforeEach(() => {
  budget = new RecentBudget();
  recent = new Recent(budget);
});
const recalled = (after: number) => {
  const known = recent.recall(after);
  return known && [known.changes.map(({ seq }) => seq), known.seq];
};

test('what was read serves whoever stands in it, and what comes since is added', () => {
  expect(recalled(5)).toBeNull();
  recent.keep(3, page([5, 6], 6), 6);
  recent.push(change(7));
  expect([recalled(3), recalled(5), recalled(7)]).toEqual([
    [[5, 6, 7], 7],
    [[6, 7], 7],
    [[], 7],
  ]);
  expect([recalled(2), recalled(8)]).toEqual([null, null]);
});

test('what was read further back takes its place, with what is known since', () => {
  recent.keep(5, page([6], 6), 6);
  recent.push(change(7));
  recent.keep(2, page([3, 6], 6), 7);
  expect(recalled(2)).toEqual([[3, 6, 7], 7]);
});

test('what leads to nothing that is known is not kept', () => {
  recent.keep(2, page([3], 3), 9);
  recent.keep(2, page([3], 3, false), 3);
  recent.keepSnapshot(5, snapshot(3), 9);
  expect([recalled(2), recalled(3), recent.recallSnapshot(5)]).toEqual([null, null, null]);
});

test('what was heard of before it was read is not there twice', () => {
  recent.keep(2, page([3, 4, 5], 5), 3);
  recent.push(change(4));
  recent.push(change(5));
  recent.push(change(6));
  expect(recalled(2)).toEqual([[3, 4, 5, 6], 6]);
});

test('a snapshot serves others of as many rows, as long as nothing changes', () => {
  const first = snapshot(4);
  recent.keepSnapshot(5, first, 4);
  expect([recent.recallSnapshot(5), recent.recallSnapshot(6), recalled(4)]).toEqual([first, null, [[], 4]]);
  recent.keep(2, page([3, 4], 4), 4);
  expect(recent.recallSnapshot(5)).toBe(first);
  recent.push(change(5));
  expect([recent.recallSnapshot(5), recalled(4)]).toEqual([null, [[5], 5]]);
});

test('of more changes than are worth keeping none is kept', () => {
  recent.keep(0, page([1], 1), 1);
  for (let seq = 2; seq < 100; seq++) recent.push(change(seq));
  expect([recalled(99), budget.bytes]).toEqual([null, 0]);
});

test('nothing is kept for long, and nothing is counted that is not kept', () => {
  const before = performance.now();
  recent.keep(2, page([3, 4], 4), 4);
  recent.keepSnapshot(5, snapshot(4), 4);
  expect(budget.bytes).toBeGreaterThan(100);
  recent.expire(before + 9_000);
  expect(recalled(2)).toEqual([[3, 4], 4]);
  recent.expire(performance.now() + 11_000);
  expect([recalled(2), budget.bytes]).toEqual([null, 0]);
});

test('where the series has come further than what was pushed, nothing leads there any more', () => {
  recent.keep(2, page([3, 4], 4), 4);
  recent.reach(4);
  expect(recalled(2)).toEqual([[3, 4], 4]);
  recent.reach(5);
  expect([recalled(2), budget.bytes]).toEqual([null, 0]);
});

test('where all series together keep too much, what comes is not kept: a snapshot, what changed, a change', () => {
  const bytesMax = 64 * 1024 * 1024;
  recent.keep(2, page([3], 3), 3);
  budget.bytes = bytesMax;
  const kept = recent;
  const others = new Recent(budget);
  others.keepSnapshot(5, snapshot(4), 4);
  expect([others.recallSnapshot(5), budget.bytes]).toEqual([null, bytesMax]);
  others.keep(2, page([3], 3), 3);
  expect([others.recall(2), budget.bytes]).toEqual([null, bytesMax]);
  kept.push(change(4));
  expect(recalled(2)).toBeNull();
  expect(budget.bytes).toBeLessThan(bytesMax);
});
