export const CLIENTS = 1_000;
export const SYMBOLS_EACH = 20;
/** A minute's burst is one message of each symbol: so many deliveries. */
export const BURST_DELIVERIES = CLIENTS * SYMBOLS_EACH;
export const SYMBOLS = Array.from({ length: 1_000 }, (_, i) => `S${i}`);

const SEED = 1;

/** Which symbols each client watches: the same for every contender and run. */
export const SEATS: readonly (readonly string[])[] = seatsOf(SEED);

function seatsOf(seed: number): string[][] {
  const random = randomOf(seed);
  return Array.from({ length: CLIENTS }, () => {
    const chosen = new Set<string>();
    while (chosen.size < SYMBOLS_EACH) chosen.add(SYMBOLS[Math.floor(random() * SYMBOLS.length)]!);
    return [...chosen];
  });
}

/** mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
