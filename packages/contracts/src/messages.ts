import { z } from 'zod';
import { CandleSchema } from './http';
import { INTERVALS } from './interval';

const series = { symbol: z.string(), interval: z.enum(INTERVALS), epoch: z.string(), seq: z.int() };

/** One committed change: on Redis `candles:{interval}:{SYMBOL}`, and on the WebSocket with the same bytes. */
export const CandleMessage = z.object({ type: z.literal('candle'), ...series, candle: CandleSchema });
export type CandleMessage = z.infer<typeof CandleMessage>;

/** More than a thousand changes at once: read the store up to `seq`. */
export const ChangedMessage = z.object({ type: z.literal('changed'), ...series });
export type ChangedMessage = z.infer<typeof ChangedMessage>;

/** WebSocket: the newest candles of a series, ascending; every later change of it follows. */
export const SnapshotMessage = z.object({ type: z.literal('snapshot'), ...series, candles: z.array(CandleSchema) });
export type SnapshotMessage = z.infer<typeof SnapshotMessage>;

/** WebSocket: what was told of the series before is void; a snapshot follows. */
export const ResetMessage = z.object({ type: z.literal('reset'), ...series });
export type ResetMessage = z.infer<typeof ResetMessage>;

/** WebSocket: so many states of candles were not told to a client that read too slowly; of each candle the last one is. */
export const SkippedMessage = z.object({
  type: z.literal('skipped'),
  symbol: z.string(),
  interval: z.enum(INTERVALS),
  count: z.int().positive(),
});
export type SkippedMessage = z.infer<typeof SkippedMessage>;

export const SeriesMessage = z.discriminatedUnion('type', [CandleMessage, ChangedMessage]);
export type SeriesMessage = z.infer<typeof SeriesMessage>;

export const PriceMessage = z.object({
  type: z.literal('price_update'),
  symbol: z.string(),
  price: z.number(),
  change: z.number().nullable(),
  change_percent: z.number().nullable(),
  timestamp: z.iso.datetime(),
  volume: z.int(),
});

export const BarMessage = z.object({
  symbol: z.string(),
  timestamp: z.iso.datetime(),
  open: z.number(),
  high: z.number(),
  low: z.number(),
  close: z.number(),
  volume: z.int(),
  vwap: z.number().nullable(),
  trade_count: z.int().nullable(),
  rev: z.int().min(0).max(4),
});
