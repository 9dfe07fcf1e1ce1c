import { CandlewireError } from './errors.ts';

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (err: unknown) => void;
}

/**
 * What came and was not read yet: of each key the newest value alone, in the order of the newest values. So a slow reader
 * costs memory for the keys, not for their changes. More than `keysMax` of them end the queue with `too_slow`.
 */
export class ConflatedQueue<T, Row> implements AsyncIterableIterator<Row, undefined> {
  private readonly rows = new Map<string, T>();
  private readonly waiting: Waiter<Row>[] = [];
  private end: { readonly error?: unknown } | null = null;
  /** Frees what fills the queue; called once, at its end. */
  onEnd: () => void = () => {};

  /** @param read what the reader gets of a value; called when it is read */
  constructor(
    private readonly keysMax: number,
    private readonly read: (value: T) => Row,
  ) {}

  put(key: string, value: T): void {
    if (this.end) return;
    const waiter = this.waiting.shift();
    if (waiter) {
      waiter.resolve({ done: false, value: this.read(value) });
      return;
    }
    this.rows.delete(key);
    this.rows.set(key, value);
    if (this.rows.size <= this.keysMax) return;
    this.rows.clear();
    const message = `more than ${this.keysMax} candles wait to be read: the loop is too slow`;
    this.finish({ error: new CandlewireError(message, { code: 'too_slow', retryable: true }) });
  }

  /** Drops what waits and is told by `isVoid`. */
  drop(isVoid: (value: T) => boolean): void {
    for (const [key, value] of this.rows) if (isVoid(value)) this.rows.delete(key);
  }

  /** No more will come. What waits can still be read; after it the reader gets the error, or the end. */
  finish(end: { readonly error?: unknown }): void {
    if (this.end) return;
    this.end = end;
    this.onEnd();
    for (const { resolve, reject } of this.waiting.splice(0)) {
      if ('error' in end) reject(end.error);
      else resolve({ done: true, value: undefined });
    }
  }

  /** At once: what waits is dropped. */
  abort(reason: unknown): void {
    this.rows.clear();
    this.finish({ error: reason });
  }

  next(): Promise<IteratorResult<Row, undefined>> {
    for (const [key, value] of this.rows) {
      this.rows.delete(key);
      return Promise.resolve({ done: false, value: this.read(value) });
    }
    if (!this.end) return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    if (!('error' in this.end)) return Promise.resolve({ done: true, value: undefined });
    // An error is told once, then the iterator is at its end, as a generator would be.
    const { error } = this.end;
    this.end = {};
    return Promise.reject(error);
  }

  return(): Promise<IteratorResult<Row, undefined>> {
    this.rows.clear();
    this.finish({});
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
