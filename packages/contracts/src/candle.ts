import type { Interval } from './interval';
import { toIso } from './time';

export const MARKET_STATUSES = ['pre', 'regular', 'post', 'closed'] as const;
export type MarketStatus = (typeof MARKET_STATUSES)[number];

/**
 * A candle as everyone outside sees it: the same JSON over HTTP, WebSocket and Redis. Its identity is (symbol, interval,
 * timestamp); symbol and interval stand in what surrounds it.
 */
export interface WireCandle {
  /** Left edge, UTC, `2025-11-03T14:30:00Z`; of a 1d candle the New York midnight. */
  readonly timestamp: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  /** null where the volume is 0 or a minute lacks it. */
  readonly vwap: number | null;
  /** null where a minute lacks it. */
  readonly trade_count: number | null;
  readonly market_status: MarketStatus;
  /** Average true range of 14 candles (Wilder); null before the 15th candle. */
  readonly ATR: number | null;
  /** Relative strength index of 14 candles (Wilder), 0..100; null before the 15th candle. */
  readonly RSI: number | null;
  readonly MA40: number | null;
  readonly MA80: number | null;
  readonly MA160: number | null;
  /** The clock has passed the candle's end and its grace. A candle changed afterwards stays final. */
  readonly final: boolean;
  /** 1 when the candle appears, +1 for each published change of it. */
  readonly revision: number;
  /** Number of the change, in its (symbol, interval), that made the candle what it is. */
  readonly seq: number;
}

/** A candle inside: times in epoch ms, plus what the next one is computed from. */
export interface Candle {
  openTime: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  /** Of a minute: as delivered, even where the volume is 0 (on the wire it is null then). */
  vwap: number | null;
  tradeCount: number | null;
  status: MarketStatus;
  rsi: number | null;
  /** Wilder averages of gains, losses and true ranges after this candle; until the 15th candle their running sums. */
  avgGain: number;
  avgLoss: number;
  avgRange: number;
  ma40: number | null;
  ma80: number | null;
  ma160: number | null;
  final: boolean;
  /** Source revision of a minute; 0 for the wider intervals. */
  rev: number;
  revision: number;
  seq: number;
}

/** The ATR as the wire shows it: the average true range once there are 14 of them, which is when there is an RSI. */
export function atrOf(candle: Candle): number | null {
  return candle.rsi === null ? null : candle.avgRange;
}

/** The wire's vwap: that of a candle without volume says nothing. */
export function vwapOf(candle: Candle): number | null {
  return candle.volume > 0 ? candle.vwap : null;
}

/**
 * The candle's JSON, keys in the order of {@link WireCandle}. Hot: one template, encoded once per change.
 * All numbers are finite by construction; doubles print as the shortest text that reads back as the same double.
 */
export function encodeCandle(c: Candle): string {
  return `{"timestamp":"${toIso(c.openTime)}","open":${c.open},"high":${c.high},"low":${c.low},"close":${c.close},"volume":${c.volume},"vwap":${vwapOf(c)},"trade_count":${c.tradeCount},"market_status":"${c.status}","ATR":${atrOf(c)},"RSI":${c.rsi},"MA40":${c.ma40},"MA80":${c.ma80},"MA160":${c.ma160},"final":${c.final},"revision":${c.revision},"seq":${c.seq}}`;
}

/**
 * The message of one change, on the channel `candles:{interval}:{SYMBOL}` and on the WebSocket alike, so that a gateway
 * can pass the bytes on: `type, symbol, interval, epoch, seq, candle` in this order.
 */
export function encodeCandleMessage(symbol: string, interval: Interval, epoch: string, candle: Candle): string {
  return encodeCandleMessageOf(symbol, interval, epoch, candle.seq, encodeCandle(candle));
}

/** The same message around a candle that is JSON already, as the store gives it. */
export function encodeCandleMessageOf(
  symbol: string,
  interval: Interval,
  epoch: string,
  seq: number,
  candleJson: string,
): string {
  return `${candleMessagePrefix(symbol, interval, epoch)}${seq},"candle":${candleJson}}`;
}

/** What stands before the digits of seq in every candle message of a series: whoever relays them need not parse. */
export function candleMessagePrefix(symbol: string, interval: Interval, epoch: string): string {
  return `{"type":"candle","symbol":"${symbol}","interval":"${interval}","epoch":"${epoch}","seq":`;
}

/**
 * Stands for a commit that changed more candles of a series than {@link CHANGES_PUBLISHED_MAX}: whoever follows the
 * series reads from the store what changed up to `seq`.
 */
export function encodeChangedMessage(symbol: string, interval: Interval, epoch: string, seq: number): string {
  return `{"type":"changed","symbol":"${symbol}","interval":"${interval}","epoch":"${epoch}","seq":${seq}}`;
}

/** Up to so many changes of a series in one commit are published one by one, more as one `changed` message. */
export const CHANGES_PUBLISHED_MAX = 1_000;
