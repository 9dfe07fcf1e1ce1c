import { type Bar, MINUTE_MS } from '@candlewire/contracts';

/** A Monday inside the regular session: 2025-11-03 09:30 New York. */
export const MONDAY_OPEN = Date.UTC(2025, 10, 3, 14, 30);

/**
 * A valid bar: AAPL, the first minute of a regular session, 100.0 throughout, volume 100. A given `close` (and `open`)
 * widens high and low as far as needed, unless those are given too.
 */
export function bar(fields: Partial<Bar> = {}): Bar {
  const open = fields.open ?? fields.close ?? 100;
  const close = fields.close ?? open;
  return {
    symbol: 'AAPL',
    openTime: MONDAY_OPEN,
    open,
    high: Math.max(open, close),
    low: Math.min(open, close),
    close,
    volume: 100,
    tradeCount: 10,
    vwap: (open + close) / 2,
    rev: 0,
    ...fields,
  };
}

/** Consecutive minutes from `fields.openTime`, one for each close. */
export function bars(closes: readonly number[], fields: Partial<Bar> = {}): Bar[] {
  const from = fields.openTime ?? MONDAY_OPEN;
  return closes.map((close, minute) => bar({ ...fields, close, openTime: from + minute * MINUTE_MS }));
}
