import { errors } from '@alpacahq/alpaca-trade-api';
import type { Time } from '../../time';
import { HistoryRefused, RateLimited } from '../source';

/** How long to leave a server alone that does not say it. */
const RETRY_AFTER_MS = 60_000;
const RETRY_AFTER_MIN_MS = 1_000;

/** Where the REST API wants to be left alone, it means all requests. */
export interface Respite {
  /** @throws RateLimited where it does now */
  check(): void;
  granted(ms: number): void;
}

export function createRespite(time: Pick<Time, 'elapsedMs'>): Respite {
  let until = Number.NEGATIVE_INFINITY;
  return {
    check() {
      const ms = until - time.elapsedMs();
      if (ms > 0) throw new RateLimited(ms);
    },
    granted(ms) {
      until = Math.max(until, time.elapsedMs() + ms);
    },
  };
}

/** What went wrong with a request, in our words; the SDK's errors hold whole answers. */
export function failureOf(err: unknown, respite: Respite): Error {
  if (err instanceof RateLimited) return err;
  if (err instanceof errors.RateLimitError) {
    const ms = Math.max(RETRY_AFTER_MIN_MS, err.retryAfterMs ?? RETRY_AFTER_MS);
    respite.granted(ms);
    return new RateLimited(ms);
  }
  if (err instanceof errors.ValidationError || err instanceof errors.NotFoundError) {
    return new HistoryRefused(`history refused (${err.status}): ${err.message}`);
  }
  if (err instanceof errors.ApiError) return new Error(`history failed (${err.status}): ${err.message}`);
  return new Error(`history failed: ${err instanceof Error ? err.message : String(err)}`);
}
