const ANY_CASE = /^[A-Za-z][A-Za-z0-9.]{0,14}$/;

/** What a symbol may look like, for messages to people. */
export const SYMBOL_RULE = 'a letter followed by at most 14 letters, digits or dots';

/** The symbol in upper case, or null where `value` cannot be one. */
export function parseSymbol(value: unknown): string | null {
  // Letters of other alphabets may become ASCII when raised ('ſ' an S), so they are refused before.
  if (typeof value !== 'string' || !ANY_CASE.test(value)) return null;
  return value.toUpperCase();
}

/** How many slices the symbols are dealt into; written into the store at its making, never changed after. */
export const PARTITIONS = 16;

/** The partition of a symbol: FNV-1a (32 bit) of its ASCII letters, modulo the number of partitions. */
export function partitionOf(symbol: string, partitions: number = PARTITIONS): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < symbol.length; i++) hash = Math.imul(hash ^ symbol.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitions;
}
