import { PongWatch } from './pongs';

const idle = { isBlocked: false, progressAt: 0 };

test('who is silent from one ping to the next is gone', () => {
  const watch = new PongWatch();
  expect(watch.isGone(idle)).toBe(false);
  expect(watch.isGone(idle)).toBe(true);
});

test('who was heard in between is there', () => {
  const watch = new PongWatch();
  watch.isGone(idle);
  watch.heard();
  expect(watch.isGone(idle)).toBe(false);
  expect(watch.isGone(idle)).toBe(true);
});

test('whose queue drains is there without a pong, whose queue stands still is gone', () => {
  const watch = new PongWatch();
  watch.isGone({ isBlocked: true, progressAt: 1 });
  expect(watch.isGone({ isBlocked: true, progressAt: 2 })).toBe(false);
  expect(watch.isGone({ isBlocked: false, progressAt: 3 })).toBe(false);
  expect(watch.isGone({ isBlocked: false, progressAt: 3 })).toBe(true);
  const stuck = new PongWatch();
  stuck.isGone({ isBlocked: true, progressAt: 1 });
  expect(stuck.isGone({ isBlocked: true, progressAt: 1 })).toBe(true);
});

test('what the system takes for a peer that had nothing waiting proves nothing', () => {
  const watch = new PongWatch();
  watch.isGone({ isBlocked: false, progressAt: 1 });
  expect(watch.isGone({ isBlocked: false, progressAt: 2 })).toBe(true);
});
