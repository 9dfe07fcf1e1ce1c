import { z } from 'zod';
import { MARKET_STATUSES } from './candle';
import { FEED_STATES, SOURCE_KINDS } from './feed-status';
import { INTERVALS } from './interval';

const num = z.number();
const nullable = z.number().nullable();

/** Runtime shape of {@link WireCandle}, for whoever reads it from outside. */
export const CandleSchema = z.object({
  timestamp: z.iso.datetime(),
  open: num,
  high: num,
  low: num,
  close: num,
  volume: z.int(),
  vwap: nullable,
  trade_count: z.int().nullable(),
  market_status: z.enum(MARKET_STATUSES),
  ATR: nullable,
  RSI: nullable,
  MA40: nullable,
  MA80: nullable,
  MA160: nullable,
  final: z.boolean(),
  revision: z.int(),
  seq: z.int(),
});

/** `GET /api/candles/{symbol}`: candles ascending; `seq` and `epoch` say of which state of the series they are. */
export const CandlesResponse = z.object({
  symbol: z.string(),
  interval: z.enum(INTERVALS),
  epoch: z.string(),
  seq: z.int(),
  candles: z.array(CandleSchema),
  next_cursor: z.string().nullable(),
});
export type CandlesResponse = z.infer<typeof CandlesResponse>;

export const SymbolRow = z.object({
  symbol: z.string(),
  name: z.string().nullable(),
  active: z.boolean(),
  last_price: nullable,
  last_timestamp: z.iso.datetime().nullable(),
});
export type SymbolRow = z.infer<typeof SymbolRow>;

export const SymbolsResponse = z.object({ symbols: z.array(SymbolRow) });
export type SymbolsResponse = z.infer<typeof SymbolsResponse>;

const check = z.object({ ok: z.boolean() });

export const ReadyChecks = z.object({
  postgres: check,
  /** What carries the messages: Redis, or nothing but the process itself. */
  redis: check.extend({ bus: z.enum(['redis', 'in-process']) }),
  /** Whether journal partitions have a living owner. */
  aggregator: check.extend({ owned: z.int(), partitions: z.int() }),
  feed: check.extend({
    state: z.enum(FEED_STATES),
    last_bar_at: z.string().nullable(),
    session: z.enum(MARKET_STATUSES).nullable(),
  }),
});
export type ReadyChecks = z.infer<typeof ReadyChecks>;

export const ReadyResponse = z.object({ status: z.enum(['ready', 'not_ready']), checks: ReadyChecks });
export const ApiHealthResponse = z.object({
  status: z.enum(['healthy', 'degraded']),
  checks: ReadyChecks,
  source: z.object({
    kind: z.enum(SOURCE_KINDS).nullable(),
    state: z.enum(FEED_STATES),
    /** Why it failed, or is not live; absent where there is nothing to tell. */
    reason: z.string().optional(),
    /** Symbols that are wanted and not delivered; absent where there are none. */
    left_out: z.array(z.string()).optional(),
  }),
});

export const ErrorResponse = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

const rebuilt = z.union([num, z.string(), z.boolean(), z.null()]);

/** A candle that was stored otherwise than its minutes say; it has been corrected. */
export const RebuildDifference = z.object({
  symbol: z.string(),
  interval: z.enum(INTERVALS),
  timestamp: z.iso.datetime(),
  kind: z.enum(['missing', 'extra', 'different']),
  fields: z.record(z.string(), z.object({ stored: rebuilt, rebuilt })),
});
export type RebuildDifference = z.infer<typeof RebuildDifference>;

/** `GET /api/rebuilds/{id}`, and the answer to `POST /api/rebuilds`. */
export const RebuildResponse = z.object({
  id: z.string(),
  state: z.enum(['requested', 'running', 'done']),
  from: z.iso.date().nullable(),
  requested_at: z.iso.datetime(),
  candles: z.int(),
  differences_count: z.int(),
  symbols: z.array(
    z.object({
      symbol: z.string(),
      state: z.enum(['requested', 'running', 'done', 'failed']),
      next: z.iso.date().nullable(),
      candles: z.int(),
      differences_count: z.int(),
      error: z.string().nullable(),
    }),
  ),
  differences: z.array(RebuildDifference),
});
export type RebuildResponse = z.infer<typeof RebuildResponse>;
