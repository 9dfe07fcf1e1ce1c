import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { LoadCalls } from './load';

const CALL_MS_MAX = 60_000;

export type Audience = LoadCalls & { stop(): Promise<unknown> };

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Starts a process that plays the clients of one gateway. */
export function startAudience(): Audience {
  // Typed arrays go as they are.
  const child = fork(join(__dirname, 'load.js'), { serialization: 'advanced' });
  const exited = once(child, 'exit');
  const waiting = new Map<number, (answer: Answer) => void>();
  let lastId = 0;
  child.on('message', (answer: Answer) => waiting.get(answer.id)?.(answer));

  function call<T>(name: keyof LoadCalls, order?: unknown): Promise<T> {
    const id = ++lastId;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not within ${CALL_MS_MAX} ms: ${name}`)), CALL_MS_MAX);
      waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        waiting.delete(id);
        if (error === undefined) resolve(result as T);
        else reject(new Error(`${name}: ${error}`));
      });
      child.send({ id, call: name, order });
    });
  }

  return {
    use: (order) => call('use', order),
    open: (order) => call('open', order),
    close: () => call('close'),
    expect: (order) => call('expect', order),
    arrived: () => call('arrived'),
    count: () => call('count'),
    openReader: (order) => call('openReader', order),
    stall: () => call('stall'),
    closeReader: () => call('closeReader'),
    stop() {
      child.kill();
      return exited;
    },
  };
}
