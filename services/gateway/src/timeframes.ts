import { toNewYorkIso } from '@candlewire/candles';
import type { Interval, WireCandle } from '@candlewire/contracts';

/** What intervals are called in the calls with New York times. */
const INTERVAL_OF = { '1Min': '1m', '5Min': '5m', '1Hour': '1h', '1Day': '1d' } as const satisfies Record<
  string,
  Interval
>;
export type Timeframe = keyof typeof INTERVAL_OF;

export const TIMEFRAMES = Object.keys(INTERVAL_OF) as readonly Timeframe[];

export function isTimeframe(value: string): value is Timeframe {
  return Object.hasOwn(INTERVAL_OF, value);
}

export function intervalOfTimeframe(timeframe: Timeframe): Interval {
  return INTERVAL_OF[timeframe];
}

export function timeframeOfInterval(interval: Interval): Timeframe {
  return TIMEFRAMES.find((timeframe) => INTERVAL_OF[timeframe] === interval)!;
}

/** A candle's timestamp with New York's offset: `2024-01-15T09:30:00-05:00`. */
export function newYorkTimestamp({ timestamp }: Pick<WireCandle, 'timestamp'>): string {
  return toNewYorkIso(Date.parse(timestamp));
}

/** A candle as `/historical` shows it, keys in this order. */
export function historyRow(candle: WireCandle): object {
  const { open, high, low, close, volume, market_status, ATR, RSI, MA40, MA80, MA160 } = candle;
  const timestamp = newYorkTimestamp(candle);
  return { timestamp, open, high, low, close, volume, market_status, ATR, RSI, MA40, MA80, MA160 };
}

/** Rows of a page's candles, which are JSON. */
export function historyRows(candlesJson: string): object[] {
  return (JSON.parse(`[${candlesJson}]`) as WireCandle[]).map(historyRow);
}

/** JSON of a change of a candle as `/ws/candles` sends it, keys in this order. */
export function encodeBarMessage(symbol: string, timeframe: Timeframe, candle: WireCandle): string {
  const { open, high, low, close, volume, market_status, ATR, RSI, MA40, MA80, MA160, final, revision } = candle;
  const prices = { open, high, low, close, volume };
  const state = { market_status, ATR, RSI, MA40, MA80, MA160, final, revision };
  return JSON.stringify({
    type: 'bar',
    symbol,
    timestamp: newYorkTimestamp(candle),
    ...prices,
    timeframe,
    ...state,
  });
}
