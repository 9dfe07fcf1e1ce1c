/** The market's time, epoch ms. */
export interface Clock {
  now(): number;
}

/** One that moves only when it is told to. */
export interface ManualClock extends Clock {
  set(ms: number): void;
}

export function manualClock(startMs: number): ManualClock {
  let now = startMs;
  return {
    now: () => now,
    set(ms) {
      if (ms < now) throw new RangeError('a market does not go back in time');
      now = ms;
    },
  };
}

/** Begins at `startMs` and runs `factor` times as fast as the wall clock: 1,200 makes a minute pass in 50 ms. */
export function scaledClock(startMs: number, factor: number): Clock {
  const begun = performance.now();
  return { now: () => startMs + (performance.now() - begun) * factor };
}

export const wallClock: Clock = { now: () => Date.now() };
