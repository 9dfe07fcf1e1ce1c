/** Delay before retry number `attempt` (from 1): `minMs` doubling up to `maxMs`, half of it random. */
export function backoffMs(attempt: number, minMs: number, maxMs: number): number {
  const fullMs = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 16));
  return fullMs / 2 + Math.random() * (fullMs / 2);
}

/** Resolves after `ms`; rejects with the signal's reason where it is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
