import type { Time } from './time';

export interface ManualTime extends Time {
  /** Moves the clocks on, waking whoever waits for a moment on the way. */
  advance(ms: number): void;
  /** Sets the wall clock, as an administrator does: no time passes. */
  set(now: number): void;
}

/** Clocks that move only when they are told to. */
export function manualTime(start: number = Date.UTC(2026, 0, 5)): ManualTime {
  let now = start;
  let elapsed = 0;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  return {
    now: () => now,
    elapsedMs: () => elapsed,
    pause: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wake = () => {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const sleeper = { at: elapsed + ms, wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake);
        return undefined;
      }),
    advance(ms) {
      now += ms;
      elapsed += ms;
      for (const sleeper of [...sleepers]) if (sleeper.at <= elapsed) sleeper.wake();
    },
    set(to) {
      now = to;
    },
  };
}

/** A clock that jumps to the end of each pause, and the pauses that were made. */
export function leapingTime(): Time & { readonly pauses: number[] } {
  let now = Date.UTC(2026, 0, 5);
  const pauses: number[] = [];
  return {
    pauses,
    now: () => now,
    elapsedMs: () => now,
    async pause(ms, signal) {
      if (signal?.aborted) return;
      pauses.push(ms);
      now += ms;
    },
  };
}
