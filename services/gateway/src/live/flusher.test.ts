import { type Flushable, Flusher } from './flusher';

const failing: Flushable = {
  flush() {
    throw new Error('bug');
  },
};

test('one that cannot be flushed harms no other, and is not flushed again', async () => {
  const failures: unknown[] = [];
  const flushed: string[] = [];
  const flusher = new Flusher(0, (err) => failures.push(err));
  const flushable = (name: string): Flushable => ({ flush: () => void flushed.push(name) });
  for (const turn of [1, 2]) {
    if (turn === 1) flusher.channel(failing);
    flusher.channel(flushable(`channel ${turn}`));
    if (turn === 1) flusher.outbox(failing);
    flusher.outbox(flushable(`outbox ${turn}`));
    await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
  }
  expect(flushed).toEqual(['channel 1', 'outbox 1', 'channel 2', 'outbox 2']);
  expect(failures).toEqual([new Error('bug'), new Error('bug')]);
});
