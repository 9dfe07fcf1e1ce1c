import { DAY_MS, MINUTE_MS } from './interval';
import { parseSymbol } from './symbol';
import { parseInstant, toIso } from './time';

/**
 * A bar's source revision: 0 stream bar, 1 updated bar, 2 (and 3) correction, 4 history fetch. The greatest wins; equal:
 * the last delivered.
 */
export type Rev = 0 | 1 | 2 | 3 | 4;

/** One delivered minute of one symbol. Prices in the symbol's currency, unadjusted. */
export interface Bar {
  readonly symbol: string;
  /** Left edge of the minute, epoch ms UTC. */
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  /** Shares, a whole number. */
  readonly volume: number;
  /** null where the source does not give it. */
  readonly tradeCount: number | null;
  /** Volume weighted average price, null where the source does not give it. May lie outside low..high. */
  readonly vwap: number | null;
  readonly rev: Rev;
}

/** Why a bar was refused; the label of the counter. */
export const BAR_REFUSALS = [
  'bad_symbol',
  'missing_field',
  'not_a_number',
  'bad_timestamp',
  'off_the_minute',
  'ahead_of_time',
  'non_positive_price',
  'high_below_low',
  'outside_range',
  'negative_volume',
  'fractional_volume',
  'too_large',
  'bad_rev',
] as const;
export type BarRefusal = (typeof BAR_REFUSALS)[number];

const PRICE_MAX = 1e9;
/** A day of such minutes still sums to an exact double and fits Postgres's bigint. */
const VOLUME_MAX = 1e12;
const TIME_MIN_MS = Date.UTC(1900, 0, 1);

/** What a source may hand over for one minute, before anything is known of it. */
export type RawBar = { readonly [Field in keyof Bar]?: unknown };

/**
 * The bar that `raw` holds, or why it is refused. Never throws.
 *
 * `clock` is the clock of the delivery (epoch ms): a minute that begins more than a day ahead of it is `ahead_of_time`.
 * `tradeCount` and `vwap` may be absent (undefined or null); a vwap of a minute without volume says nothing and is
 * taken as absent unless it is a price.
 *
 * Hand-written and not a schema: it runs for every bar, twice.
 */
export function parseBar(raw: RawBar, clock: number): Bar | BarRefusal {
  const symbol = parseSymbol(raw.symbol);
  if (symbol === null) return 'bad_symbol';
  const { openTime, open, high, low, close, volume, rev } = raw;
  if (missing(openTime) || missing(open) || missing(high) || missing(low) || missing(close) || missing(volume)) {
    return 'missing_field';
  }
  if (!finite(openTime) || openTime < TIME_MIN_MS) return 'bad_timestamp';
  if (!finite(open) || !finite(high) || !finite(low) || !finite(close) || !finite(volume)) return 'not_a_number';
  if (openTime % MINUTE_MS !== 0) return 'off_the_minute';
  if (openTime > clock + DAY_MS) return 'ahead_of_time';
  if (open <= 0 || high <= 0 || low <= 0 || close <= 0) return 'non_positive_price';
  if (high < low) return 'high_below_low';
  if (open < low || open > high || close < low || close > high) return 'outside_range';
  if (volume < 0) return 'negative_volume';
  if (!Number.isInteger(volume)) return 'fractional_volume';
  if (high > PRICE_MAX || volume > VOLUME_MAX) return 'too_large';

  const tradeCount = raw.tradeCount ?? null;
  if (tradeCount !== null) {
    if (!finite(tradeCount)) return 'not_a_number';
    if (tradeCount < 0) return 'negative_volume';
    if (!Number.isInteger(tradeCount)) return 'fractional_volume';
    if (tradeCount > VOLUME_MAX) return 'too_large';
  }
  let vwap = raw.vwap ?? null;
  if (vwap !== null) {
    if (!finite(vwap)) return 'not_a_number';
    if (vwap <= 0) {
      if (volume > 0) return 'non_positive_price';
      vwap = null;
    } else if (vwap > PRICE_MAX) return 'too_large';
  }
  if (rev !== 0 && rev !== 1 && rev !== 2 && rev !== 3 && rev !== 4) return 'bad_rev';
  return { symbol, openTime, open, high, low, close, volume, tradeCount, vwap: vwap as number | null, rev };
}

export function isRefusal(result: Bar | BarRefusal): result is BarRefusal {
  return typeof result === 'string';
}

function missing(value: unknown): boolean {
  return value === undefined || value === null;
}

function finite(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** The JSON of a bar on the channel `bars:{SYMBOL}` and in the journal, keys in this order. Hot: one template, no object. */
export function encodeBar(bar: Bar): string {
  return `{"symbol":"${bar.symbol}","timestamp":"${toIso(bar.openTime)}","open":${bar.open},"high":${bar.high},"low":${bar.low},"close":${bar.close},"volume":${bar.volume},"vwap":${bar.vwap},"trade_count":${bar.tradeCount},"rev":${bar.rev}}`;
}

/** The reverse of {@link encodeBar} on parsed JSON; everything is checked anew, for anyone may write to a channel. */
export function decodeBar(value: unknown, clock: number): Bar | BarRefusal {
  if (typeof value !== 'object' || value === null) return 'missing_field';
  const wire = value as Record<string, unknown>;
  const time = typeof wire.timestamp === 'string' ? parseInstant(wire.timestamp) : null;
  return parseBar(
    {
      symbol: wire.symbol,
      openTime: wire.timestamp === undefined ? undefined : (time ?? Number.NaN),
      open: wire.open,
      high: wire.high,
      low: wire.low,
      close: wire.close,
      volume: wire.volume,
      tradeCount: wire.trade_count,
      vwap: wire.vwap,
      rev: wire.rev,
    },
    clock,
  );
}
