import { leapingTime, manualTime } from '../manual-time.suite';
import { createPacer } from './pacer';

const never = new AbortController().signal;

test('no minute sees more requests than are allowed', async () => {
  const time = leapingTime();
  const pacer = createPacer(3, time);
  const made: number[] = [];
  for (let n = 0; n < 10; n++) {
    await pacer.turn(never);
    made.push(time.now());
  }
  made.forEach((at, n) => {
    if (n >= 3) expect(at - made[n - 3]!).toBeGreaterThanOrEqual(60_000);
  });
  expect(made[9]! - made[0]!).toBe(180_000);
  expect(pacer.counters).toEqual({ requests: 10, rateLimited: 0 });
});

test('while the source wants to be left alone nobody asks, and then those who waited do', async () => {
  const time = manualTime();
  const pacer = createPacer(Number.POSITIVE_INFINITY, time);
  pacer.hold(5_000);
  pacer.hold(1_000);
  let turns = 0;
  const waiting = [1, 2].map(() => pacer.turn(never).then(() => turns++));
  time.advance(4_999);
  await Promise.resolve();
  expect(turns).toBe(0);
  time.advance(1);
  await Promise.all(waiting);
  expect(turns).toBe(2);
  expect(pacer.counters).toEqual({ requests: 2, rateLimited: 2 });
});

test('those who wait beside each other do not take the same turn', async () => {
  const time = manualTime();
  const pacer = createPacer(1, time);
  await pacer.turn(never);
  let turns = 0;
  const stop = new AbortController();
  const waiting = [1, 2].map(() => pacer.turn(stop.signal).then(() => turns++));
  time.advance(60_000);
  await waiting[0];
  await Promise.resolve();
  expect(turns).toBe(1);
  stop.abort();
  await Promise.all(waiting);
});
