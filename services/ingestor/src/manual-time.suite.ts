import type { Time } from './time';

export interface ManualTime extends Time {
  /** Moves the clock on, waking whoever waits for a moment on the way. */
  advance(ms: number): void;
}

/** A clock that moves only when it is told to. */
export function manualTime(start: number = Date.UTC(2026, 0, 5)): ManualTime {
  let now = start;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  return {
    now: () => now,
    elapsedMs: () => now,
    pause: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wake = () => {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const sleeper = { at: now + ms, wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake);
        return undefined;
      }),
    advance(ms) {
      now += ms;
      for (const sleeper of [...sleepers]) if (sleeper.at <= now) sleeper.wake();
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
