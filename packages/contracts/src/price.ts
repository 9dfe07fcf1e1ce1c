import { z } from 'zod';

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

/** The latest trade of a symbol, for its price alone: candles come from bars. */
export interface Tick {
  readonly symbol: string;
  readonly price: number;
  /** Event time, epoch ms. */
  readonly time: number;
  /** Volume of the tick's minute so far, this tick included. */
  readonly volume: number;
}

/** Ticks of one partition, the newest of each symbol, as text. */
export function encodeTicks(ticks: readonly Tick[]): string {
  return JSON.stringify(ticks);
}

const TicksSchema = z.array(
  z.object({ symbol: z.string(), price: z.number().positive(), time: z.int(), volume: z.int().nonnegative() }),
);

/** Ticks from text; none where it is something else, since a lost tick harms nobody. */
export function decodeTicks(text: string): readonly Tick[] {
  try {
    return TicksSchema.parse(JSON.parse(text));
  } catch {
    return [];
  }
}
