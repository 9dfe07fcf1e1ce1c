import { waitFor } from '@candlewire/testkit';
import { manualTime } from './manual-time.suite';
import { withTicks } from './with-ticks';

const TICK_MS = 500;

/** A stream that delivers what is pushed, until it is aborted. */
function pushed() {
  const items: string[] = [];
  const state = { ended: false, pulled: 0 };
  async function* start(signal: AbortSignal): AsyncGenerator<string> {
    try {
      while (!signal.aborted) {
        state.pulled++;
        while (items.length === 0 && !signal.aborted) await new Promise(setImmediate);
        const item = items.shift();
        if (item === 'end') return;
        if (item === 'fail') throw new Error('broken');
        if (item !== undefined) yield item;
      }
    } finally {
      state.ended = true;
    }
  }
  return { items, state, start };
}

test('gives items as they come and ticks in between, also after the stream has ended', async () => {
  const time = manualTime();
  const { items, start } = pushed();
  const stop = new AbortController();
  const stream = withTicks(start, TICK_MS, time, stop.signal);
  const next = async () => (await stream.next()).value;

  items.push('a');
  expect(await next()).toBe('a');
  const tick = next();
  time.advance(TICK_MS);
  expect(await tick).toBe('tick');
  items.push('b', 'end');
  expect(await next()).toBe('b');
  for (let i = 0; i < 2; i++) {
    const later = next();
    await new Promise(setImmediate);
    time.advance(TICK_MS);
    expect(await later).toBe('tick');
  }
  const last = stream.next();
  stop.abort();
  expect(await last).toEqual({ done: true, value: undefined });
});

test('has the stream work on its next item meanwhile, and on no more', async () => {
  const { items, state, start } = pushed();
  const stream = withTicks(start, TICK_MS, manualTime(), new AbortController().signal);
  items.push('a', 'b', 'c');
  await stream.next();
  await waitFor(() => state.pulled === 2);
  await new Promise(setImmediate);
  expect(items).toEqual(['c']);
  expect(state.pulled).toBe(2);
  await stream.return(undefined);
});

test('leaving the loop ends the stream', async () => {
  const { items, state, start } = pushed();
  items.push('a');
  for await (const item of withTicks(start, TICK_MS, manualTime(), new AbortController().signal)) {
    expect(item).toBe('a');
    break;
  }
  expect(state.ended).toBe(true);
});

test('throws the error of the stream', async () => {
  const { items, start } = pushed();
  const stream = withTicks(start, TICK_MS, manualTime(), new AbortController().signal);
  items.push('a', 'fail');
  await stream.next();
  await expect(stream.next()).rejects.toThrow('broken');
});
