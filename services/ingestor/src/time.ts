import { pause } from '@candlewire/runtime';

/** The clocks and waiting, as an argument, so that nothing has to be waited for in a test. */
export interface Time {
  /** Epoch ms. The wall clock, which tells the market's time and may be set. */
  now(): number;
  /** Ms since some moment. Nobody sets this one: for deadlines and pauses. */
  elapsedMs(): number;
  /** Resolves after `ms`, or at once where the signal is aborted; never rejects. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemTime: Time = { now: Date.now, elapsedMs: () => performance.now(), pause };
