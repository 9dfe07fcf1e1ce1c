import { backoffMs } from './backoff.ts';

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/** Errors that say nothing against what was asked: it may be asked for again. */
const PASSING: readonly unknown[] = ['unavailable', 'rate_limited', 'too_slow', 'internal'];

/** Whether what was refused with this code may succeed later. */
export function isPassing(code: unknown): boolean {
  return PASSING.includes(code);
}

/** What is to be tried again after a pause. */
export class Retries {
  private readonly timers = new Set<ReturnType<typeof setTimeout>>();

  /** Calls `act` after the pause that comes before retry number `attempt` (from 1). */
  later(attempt: number, act: () => void): void {
    const timer = setTimeout(
      () => {
        this.timers.delete(timer);
        act();
      },
      backoffMs(attempt, RETRY_MIN_MS, RETRY_MAX_MS),
    );
    this.timers.add(timer);
  }

  clear(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }
}
