import type { Time } from '../time';

const WINDOW_MS = 60_000;

export interface PacerCounters {
  /** Requests that were allowed. */
  readonly requests: number;
  /** Times that the source wanted to be left alone. */
  readonly rateLimited: number;
}

/**
 * Keeps the requests of a process within what a source allows: at most `maxPerMin` in any minute, and none while it wants to
 * be left alone. One process makes all of them, for only the ingestor that leads fills. BullMQ has a limiter as well, but
 * counts jobs, of which one may take a hundred requests.
 */
export interface Pacer {
  readonly counters: PacerCounters;
  /** Resolves when a request may be made, or the signal is aborted. */
  turn(signal: AbortSignal): Promise<void>;
  /** No request is to be made for so long, whoever it is for. */
  hold(ms: number): void;
}

/** @param maxPerMin Infinity: without limit, and without remembering when */
export function createPacer(maxPerMin: number, time: Time): Pacer {
  /** When the last `maxPerMin` requests were made, the oldest first. */
  const made: number[] = [];
  const counters = { requests: 0, rateLimited: 0 };
  let heldUntil = Number.NEGATIVE_INFINITY;

  function waitMs(): number {
    const now = time.elapsedMs();
    while (made.length > 0 && made[0]! <= now - WINDOW_MS) made.shift();
    const full = made.length >= maxPerMin ? made[0]! + WINDOW_MS - now : 0;
    return Math.max(full, heldUntil - now);
  }

  return {
    counters,

    async turn(signal) {
      for (let ms = waitMs(); ms > 0 && !signal.aborted; ms = waitMs()) await time.pause(ms, signal);
      if (signal.aborted) return;
      counters.requests++;
      // Taken in the same breath as it was found free: whoever waits beside this one sees it.
      if (maxPerMin !== Number.POSITIVE_INFINITY) made.push(time.elapsedMs());
    },
    hold(ms) {
      counters.rateLimited++;
      heldUntil = Math.max(heldUntil, time.elapsedMs() + ms);
    },
  };
}
