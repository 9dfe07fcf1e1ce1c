import type { Time } from './time';

/**
 * What a stream delivers, and `'tick'` about every `tickMs` where it leaves time for one, going on after the stream's
 * end until `signal` is aborted: one loop serves both, and nothing that it does ever overlaps. The stream works on its
 * next item while the last one is dealt with. However the loop is left, the stream is aborted and has ended before it
 * is over. A stream's error is thrown.
 */
export async function* withTicks<T>(
  start: (signal: AbortSignal) => AsyncIterable<T>,
  tickMs: number,
  time: Time,
  signal: AbortSignal,
): AsyncGenerator<T | 'tick'> {
  // Not a race of promises: a stream that is silent for days would gather the remains of every race it took part in.
  const inbox: { item: (() => IteratorResult<T>) | null; ticked: boolean; wake: () => void } = {
    item: null,
    ticked: false,
    wake: () => {},
  };
  const inner = new AbortController();
  const stream = start(inner.signal)[Symbol.asyncIterator]();

  async function pull(): Promise<void> {
    try {
      const result = await stream.next();
      inbox.item = () => result;
    } catch (err) {
      inbox.item = () => {
        throw err;
      };
    }
    inbox.wake();
  }

  async function wait(): Promise<void> {
    await time.pause(tickMs, inner.signal);
    inbox.ticked = true;
    inbox.wake();
  }

  const abort = () => {
    inner.abort();
    inbox.wake();
  };
  signal.addEventListener('abort', abort);
  let pulling = pull();
  let waiting = wait();
  try {
    while (!signal.aborted) {
      if (inbox.item !== null) {
        const { done, value } = inbox.item();
        inbox.item = null;
        if (done) continue;
        pulling = pull();
        yield value;
      } else if (inbox.ticked) {
        inbox.ticked = false;
        waiting = wait();
        yield 'tick';
      } else {
        await new Promise<void>((resolve) => {
          inbox.wake = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener('abort', abort);
    inner.abort();
    await Promise.all([pulling, waiting]);
    await stream.return?.();
  }
}
