import { ENTRY_BARS_MAX, MINUTE_MS } from '@candlewire/contracts';
import { MONDAY_OPEN } from '@candlewire/testkit';
import { HistoryPace } from './history-pace';
import { type ManualTime, manualTime } from './manual-time.suite';

const BATCH = 20 * ENTRY_BARS_MAX;
const SOME = 4 * ENTRY_BARS_MAX;
const SECOND_MS = 1_000;
/** In the middle of a minute. */
const T = MONDAY_OPEN + 30 * SECOND_MS;
const TOOK_MS = 40;

let time: ManualTime;
let pace: HistoryPace;

beforeEach(() => {
  time = manualTime(T);
  pace = new HistoryPace(time);
});

const goTo = (moment: number) => time.advance(moment - time.now());

test('where no live bars flow a whole batch is appended, while one more waits in its partition at the most', () => {
  expect(pace.room(0, 0)).toBe(BATCH);
  pace.appended();
  expect(pace.room(BATCH, 15 * BATCH)).toBe(BATCH);
  expect(pace.room(BATCH + 1, BATCH + 1)).toBe(0);
});

test('beside live bars some, and none while anything waits in whatever partition', () => {
  pace.flowed();
  expect(pace.room(0, 99)).toBe(SOME);
  pace.appended();
  goTo(T + 10);
  expect(pace.room(0, SOME)).toBe(0);
});

test('while they come it rests 100 times as long as the last of it took', () => {
  pace.flowed();
  pace.appended();
  goTo(T + TOOK_MS);
  expect(pace.room(0, 0)).toBe(0);
  const until = T + TOOK_MS + 100 * TOOK_MS;
  goTo(until - 1);
  pace.flowed();
  expect(pace.room(0, 0)).toBe(0);
  goTo(until);
  expect(pace.room(0, 0)).toBe(SOME);
});

test('nor longer than 20 seconds, however long nobody took it up', () => {
  pace.flowed();
  pace.appended();
  const takenUpAt = T + 4 * MINUTE_MS;
  const until = takenUpAt + 20 * SECOND_MS;
  goTo(takenUpAt);
  pace.flowed();
  expect(pace.room(0, 0)).toBe(0);
  goTo(until - 1);
  pace.flowed();
  expect(pace.room(0, 0)).toBe(0);
  goTo(until);
  expect(pace.room(0, 0)).toBe(SOME);
});

test('it does not rest once none has come for a second', () => {
  pace.flowed();
  pace.appended();
  goTo(T + TOOK_MS);
  expect(pace.room(0, 0)).toBe(0);
  goTo(T + SECOND_MS - 1);
  expect(pace.room(0, 0)).toBe(0);
  goTo(T + SECOND_MS);
  expect(pace.room(0, 0)).toBe(SOME);
});

test('but before a minute ends and after it, when more are to be expected', () => {
  const end = MONDAY_OPEN + MINUTE_MS;
  const took = 200;
  pace.flowed();
  goTo(end - 250 - took);
  pace.appended();
  goTo(end - 251);
  expect(pace.room(0, 0)).toBe(SOME);
  goTo(end - 250);
  expect(pace.room(0, 0)).toBe(0);
  goTo(end + 1_999);
  expect(pace.room(0, 0)).toBe(0);
  goTo(end + 2_000);
  expect(pace.room(0, 0)).toBe(SOME);
});

test('five minutes after the last one none flow any more', () => {
  pace.flowed();
  goTo(T + 5 * MINUTE_MS - 1);
  expect(pace.room(0, 0)).toBe(SOME);
  goTo(T + 5 * MINUTE_MS);
  expect(pace.room(0, 0)).toBe(BATCH);
});

test('whoever sets the wall clock back does not hold it up', () => {
  pace.flowed();
  pace.appended();
  goTo(T + TOOK_MS);
  expect(pace.room(0, 0)).toBe(0);
  time.set(T - 60 * MINUTE_MS);
  time.advance(SECOND_MS);
  expect(pace.room(0, 0)).toBe(SOME);
  time.advance(5 * MINUTE_MS);
  expect(pace.room(0, 0)).toBe(BATCH);
});
