import { type SendProgress, watchPongs } from './pongs';

let progress: SendProgress;
beforeEach(() => {
  progress = { queuedBytes: 0, flushedBytes: 0 };
});
const watched = () => watchPongs(() => progress);

test('who is silent from one ping to the next is gone', () => {
  const watch = watched();
  expect(watch.isGone()).toBe(false);
  expect(watch.isGone()).toBe(true);
});

test('who was heard in between is there', () => {
  const watch = watched();
  watch.isGone();
  watch.heard();
  expect(watch.isGone()).toBe(false);
  expect(watch.isGone()).toBe(true);
});

test('whose queue drains is there without a pong, whose queue stands still is gone', () => {
  const watch = watched();
  progress = { queuedBytes: 5_000, flushedBytes: 1_000 };
  watch.isGone();
  progress = { queuedBytes: 4_000, flushedBytes: 2_000 };
  expect(watch.isGone()).toBe(false);
  progress = { queuedBytes: 0, flushedBytes: 6_000 };
  expect(watch.isGone()).toBe(false);
  expect(watch.isGone()).toBe(true);
  const stuck = watched();
  progress = { queuedBytes: 5_000, flushedBytes: 1_000 };
  stuck.isGone();
  progress = { queuedBytes: 9_000, flushedBytes: 1_000 };
  expect(stuck.isGone()).toBe(true);
});
