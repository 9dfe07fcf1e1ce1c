import { pause } from '@candlewire/runtime';

/** The wall clock and waiting, as an argument, so that nothing has to be waited for in a test. */
export interface Time {
  /** Epoch ms. */
  now(): number;
  /** Resolves after `ms`, or at once where the signal is aborted; never rejects. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemTime: Time = { now: Date.now, pause };
