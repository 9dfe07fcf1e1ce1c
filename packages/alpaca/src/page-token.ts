import { toIso } from '@candlewire/contracts';
import type { TimeframeUnit } from './timeframe';
import { parseTimestamp } from './timestamp';

/** The last bar of a page: the next page begins behind it. */
export interface PagePosition {
  readonly symbol: string;
  readonly openTime: number;
}

const UNIT_LETTERS: Readonly<Record<TimeframeUnit, string>> = { Min: 'M', Hour: 'H', Day: 'D', Week: 'W', Month: 'O' };

/** Opaque to clients; the form is the one seen at Alpaca's, base64 of symbol, unit and time. */
export function encodePageToken({ symbol, openTime }: PagePosition, unit: TimeframeUnit): string {
  return btoa(`${symbol}|${UNIT_LETTERS[unit]}|${toIso(openTime)}`);
}

/** Null where the token was not made by {@link encodePageToken} for bars of this unit. */
export function parsePageToken(token: string, unit: TimeframeUnit): PagePosition | null {
  let text: string;
  try {
    text = atob(token);
  } catch {
    return null;
  }
  const [symbol, letter, time, ...rest] = text.split('|');
  const instant = parseTimestamp(time ?? '');
  if (!symbol || letter !== UNIT_LETTERS[unit] || instant === null || rest.length > 0) return null;
  return { symbol, openTime: instant.ms };
}
