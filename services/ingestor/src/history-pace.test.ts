import { ENTRY_BARS_MAX, MINUTE_MS } from '@candlewire/contracts';
import { MONDAY_OPEN } from '@candlewire/testkit';
import { HistoryPace } from './history-pace';

const BATCH = 20 * ENTRY_BARS_MAX;
const SOME = 4 * ENTRY_BARS_MAX;
const SECOND_MS = 1_000;
/** In the middle of a minute. */
const T = MONDAY_OPEN + 30 * SECOND_MS;
const TOOK_MS = 40;

let pace: HistoryPace;

beforeEach(() => {
  pace = new HistoryPace();
});

test('where no live bars flow a whole batch is appended, while one more waits in its partition at the most', () => {
  expect(pace.room(T, 0, 0)).toBe(BATCH);
  pace.appended(T);
  expect(pace.room(T, BATCH, 15 * BATCH)).toBe(BATCH);
  expect(pace.room(T, BATCH + 1, BATCH + 1)).toBe(0);
});

test('beside live bars some, and none while anything waits in whatever partition', () => {
  pace.flowed(T);
  expect(pace.room(T, 0, 99)).toBe(SOME);
  pace.appended(T);
  expect(pace.room(T + 10, 0, SOME)).toBe(0);
});

test('while they come it rests 100 times as long as the last of it took', () => {
  pace.flowed(T);
  pace.appended(T);
  expect(pace.room(T + TOOK_MS, 0, 0)).toBe(0);
  const until = T + TOOK_MS + 100 * TOOK_MS;
  pace.flowed(until - 1);
  expect(pace.room(until - 1, 0, 0)).toBe(0);
  expect(pace.room(until, 0, 0)).toBe(SOME);
});

test('nor longer than 20 seconds, however long nobody took it up', () => {
  pace.flowed(T);
  pace.appended(T);
  const takenUpAt = T + 4 * MINUTE_MS;
  const until = takenUpAt + 20 * SECOND_MS;
  pace.flowed(until);
  expect(pace.room(takenUpAt, 0, 0)).toBe(0);
  expect(pace.room(until - 1, 0, 0)).toBe(0);
  expect(pace.room(until, 0, 0)).toBe(SOME);
});

test('it does not rest once none has come for a second', () => {
  pace.flowed(T);
  pace.appended(T);
  expect(pace.room(T + TOOK_MS, 0, 0)).toBe(0);
  expect(pace.room(T + SECOND_MS - 1, 0, 0)).toBe(0);
  expect(pace.room(T + SECOND_MS, 0, 0)).toBe(SOME);
});

test('but before a minute ends and after it, when more are to be expected', () => {
  const end = MONDAY_OPEN + MINUTE_MS;
  const took = 200;
  pace.flowed(T);
  pace.appended(end - 250 - took);
  expect(pace.room(end - 251, 0, 0)).toBe(SOME);
  pace.appended(end - 250 - took);
  expect(pace.room(end - 250, 0, 0)).toBe(0);
  expect(pace.room(end + 1_999, 0, 0)).toBe(0);
  expect(pace.room(end + 2_000, 0, 0)).toBe(SOME);
});

test('five minutes after the last one none flow any more', () => {
  pace.flowed(T);
  expect(pace.room(T + 5 * MINUTE_MS - 1, 0, 0)).toBe(SOME);
  expect(pace.room(T + 5 * MINUTE_MS, 0, 0)).toBe(BATCH);
});
