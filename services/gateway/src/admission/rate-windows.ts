import type { IncrementResponse, Store } from 'express-rate-limit';

/** Callers that are told apart in one window. */
const CALLERS_MAX = 100_000;
const OTHERS = 'others';

/**
 * Counts the calls of each caller in windows that are the same for all. Memory is bounded: more callers than `callersMax`
 * are counted as one, until the window ends. Needs no timer: what is over is forgotten at the next call.
 */
export class RateWindows implements Store {
  /** Other limiters have counters of their own. */
  readonly localKeys = true;
  readonly #calls = new Map<string, number>();
  #endsAt = Number.NEGATIVE_INFINITY;

  /** @param now epoch ms */
  constructor(
    private readonly windowMs: number,
    private readonly now: () => number = Date.now,
    private readonly callersMax = CALLERS_MAX,
  ) {}

  increment(caller: string): IncrementResponse {
    this.#turn();
    const counted = this.#calls.has(caller) || this.#calls.size < this.callersMax ? caller : OTHERS;
    const totalHits = (this.#calls.get(counted) ?? 0) + 1;
    this.#calls.set(counted, totalHits);
    return { totalHits, resetTime: new Date(this.#endsAt) };
  }

  decrement(): void {
    // No call is taken back.
  }

  resetKey(caller: string): void {
    this.#calls.delete(caller);
  }

  /** Until everybody may call again. */
  msLeft(): number {
    return Math.max(0, this.#endsAt - this.now());
  }

  #turn(): void {
    const now = this.now();
    // A clock that was set back must not leave a window open for hours.
    if (now < this.#endsAt && now >= this.#endsAt - this.windowMs) return;
    this.#calls.clear();
    this.#endsAt = now + this.windowMs;
  }
}
