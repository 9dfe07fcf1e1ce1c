import { parseInstant, toIso } from '@candlewire/contracts';

/** A moment to the nanosecond, which is what Alpaca's timestamps hold. */
export interface Instant {
  /** Epoch ms, rounded down. */
  readonly ms: number;
  /** What is over: 0 to 999,999 ns. */
  readonly ns: number;
}

const NS_PER_MS = 1_000_000;
const FRACTION = /\.(\d+)/;
/** Bars of one minute follow each other, so the text asked for is mostly the one before. */
let lastText = '';
let lastInstant: Instant | null = null;

/** The moment of an RFC 3339 text of any zone, or null. Digits beyond the ninth are dropped. */
export function parseTimestamp(text: string): Instant | null {
  if (text === lastText) return lastInstant;
  const ms = parseInstant(text);
  lastText = text;
  if (ms === null) return (lastInstant = null);
  const digits = FRACTION.exec(text)?.[1] ?? '';
  return (lastInstant = { ms, ns: Number(digits.slice(3, 9).padEnd(6, '0')) });
}

/** RFC 3339 UTC with as many decimals as are needed: none, 3 or 9. */
export function formatTimestamp({ ms, ns }: Instant): string {
  if (ns === 0) return toIso(ms);
  const fraction = (((ms % 1000) + 1000) % 1000) * NS_PER_MS + ns;
  return `${new Date(ms).toISOString().slice(0, 19)}.${String(fraction).padStart(9, '0')}Z`;
}
