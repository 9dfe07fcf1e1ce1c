/** Consumed entries of a journal that stay for whoever comes back with an older position. */
export const KEEP_ENTRIES = 1_000;
/** And about how many bars they may hold together, so that long entries of history do not fill the memory. */
export const KEEP_BARS = 20_000;
/** A journal is trimmed once in so many consumed entries. */
export const TRIM_EVERY = 32;
/** Symbols that may have a lease at the same time: more than any source delivers, few enough to be read at once. */
export const WANTED_MAX = 20_000;

/** @throws RangeError where a lease would never have been, or would never end */
export function checkLease(leaseMs: number): void {
  if (!(leaseMs >= 1 && Number.isFinite(leaseMs))) throw new RangeError('leaseMs must be at least 1, and finite');
}
