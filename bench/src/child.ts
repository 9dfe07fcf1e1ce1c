import { fork } from 'node:child_process';
import { once } from 'node:events';

const CALL_MS_MAX = 120_000;

/** What a program of a benchmark can be told; each call answers when it is done. */
export type Calls = Readonly<Record<string, (order: never) => Promise<unknown>>>;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

export interface Child {
  readonly pid: number;
  /** @throws what the call failed with, as text */
  call<T>(name: string, order?: unknown): Promise<T>;
  stop(): Promise<unknown>;
}

/** Starts a program of ours, one that ends with {@link serveCalls}, in a process of its own. */
export function startChild(file: string): Child {
  // Typed arrays go as they are.
  const child = fork(file, { serialization: 'advanced' });
  const exited = once(child, 'exit');
  const waiting = new Map<number, (answer: Answer) => void>();
  let lastId = 0;
  child.on('message', (answer: Answer) => waiting.get(answer.id)?.(answer));
  return {
    pid: child.pid!,
    call<T>(name: string, order?: unknown): Promise<T> {
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
    },
    stop() {
      child.kill();
      return exited;
    },
  };
}

/** The other end: does what it is told until its parent is gone. */
export function serveCalls(calls: Calls): void {
  process.on('message', ({ id, call, order }: { id: number; call: string; order: never }) => {
    calls[call]!(order).then(
      (result) => process.send!({ id, result }),
      (err: unknown) => process.send!({ id, error: String(err) }),
    );
  });
  process.on('disconnect', () => process.exit());
}
