import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

/**
 * Polls `condition` until it gives something truthy, which is returned. A condition that throws counts as not met; its
 * last error is the cause of the one thrown after `timeoutMs` (default 30 000: a busy machine takes its time), whose message names `what` was awaited.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; what?: string } = {},
): Promise<Truthy<T>> {
  const { timeoutMs = 30_000, what = 'the condition' } = options;
  const until = Date.now() + timeoutMs;
  for (let cause: unknown; ; ) {
    try {
      const result = await condition();
      if (result) return result as Truthy<T>;
      cause = undefined;
    } catch (err) {
      cause = err;
    }
    if (Date.now() >= until) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause });
    await sleep(POLL_MS);
  }
}
