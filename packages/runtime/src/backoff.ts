/**
 * Delay before retry number `attempt` (from 1): 100 ms doubling up to `maxMs`, half of it random so that many processes
 * that lost the same server do not come back in step. With the default: about 0.1 0.2 0.4 0.8 1.6 3.2 5 5 … s.
 */
export function backoffMs(attempt: number, maxMs = 5_000): number {
  const full = Math.min(maxMs, 100 * 2 ** Math.min(attempt - 1, 16));
  return full / 2 + Math.random() * (full / 2);
}

/** Resolves after `ms`, at once where `signal` is aborted: the caller looks at the signal, nothing is thrown. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}

/**
 * Calls `act` until it succeeds, with backoff, for ever or until the signal is aborted (then it throws the last error).
 * `onFailure` hears of each failure; it may throw to give up.
 */
export async function retry<T>(
  act: () => Promise<T>,
  options: { signal?: AbortSignal; maxMs?: number; onFailure?: (err: unknown, attempt: number) => void } = {},
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act();
    } catch (err) {
      if (options.signal?.aborted) throw err;
      options.onFailure?.(err, attempt);
      await pause(backoffMs(attempt, options.maxMs), options.signal);
      if (options.signal?.aborted) throw err;
    }
  }
}
