import { pause } from '@candlewire/runtime';
import type { Clock } from '@candlewire/testkit';

/** No pause is shorter in wall time, so that what looks now and then leaves the machine to others. */
const PAUSE_MIN_MS = 10;

/** The market's time, faster than the wall clock, for the fake server and for those who work with it. */
export interface MarketTime extends Clock {
  /** The same: deadlines are to scale. */
  elapsedMs(): number;
  pause(ms: number, signal?: AbortSignal): Promise<void>;
  /** From now on a ms of the wall clock is so many of the market's. */
  runAt(speed: number): void;
  /** To a later moment, at once. */
  leapTo(ms: number): void;
}

export function marketTime(startMs: number, speed: number): MarketTime {
  let from = { wallMs: performance.now(), marketMs: startMs };
  const now = () => Math.floor(from.marketMs + (performance.now() - from.wallMs) * speed);
  return {
    now,
    elapsedMs: now,
    pause: (ms, signal) => pause(Math.max(PAUSE_MIN_MS, ms / speed), signal),
    runAt(next) {
      from = { wallMs: performance.now(), marketMs: now() };
      speed = next;
    },
    leapTo(ms) {
      from = { wallMs: performance.now(), marketMs: Math.max(ms, now()) };
    },
  };
}
