/** The latest price of a symbol, best effort, never stored. */
export interface PriceUpdate {
  readonly type: 'price_update';
  readonly symbol: string;
  readonly price: number;
  /** Against the close of the symbol's last 1d candle before the price's New York date; null if there is none. */
  readonly change: number | null;
  readonly change_percent: number | null;
  /** RFC 3339 UTC: the tick's time, or the minute. */
  readonly timestamp: string;
  /** Volume of the price's minute so far. */
  readonly volume: number;
}

/** Builds the message from a price and the reference close. Change and percentage are not rounded. */
export function priceUpdate(
  symbol: string,
  price: number,
  reference: number | null,
  timestamp: string,
  volume: number,
): PriceUpdate {
  const change = reference === null ? null : price - reference;
  const change_percent = reference === null ? null : ((price - reference) / reference) * 100;
  return { type: 'price_update', symbol, price, change, change_percent, timestamp, volume };
}
