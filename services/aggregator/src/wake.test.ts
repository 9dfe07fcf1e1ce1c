import { Wake } from './wake';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

test('a ring ends the wait', async () => {
  const wake = new Wake();
  const waited = wake.wait(1_000);
  wake.ring();
  await waited;
  expect(jest.getTimerCount()).toBe(0);
});

test('a ring while nobody waits ends the next wait, and only that', async () => {
  const wake = new Wake();
  wake.ring();
  await wake.wait(1_000);
  let over = false;
  const second = wake.wait(1_000).then(() => {
    over = true;
  });
  await jest.advanceTimersByTimeAsync(999);
  expect(over).toBe(false);
  await jest.advanceTimersByTimeAsync(1);
  await second;
});
