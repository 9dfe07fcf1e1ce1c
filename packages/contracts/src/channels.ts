import type { Interval } from './interval';

export const DEFAULT_PREFIX = 'md:v1';

/** Names of everything that lives in Redis, below one prefix. */
export interface Channels {
  /** Pub/sub: each minute bar as the ingestor got it ({@link encodeBar}). */
  bars(symbol: string): string;
  /** Pub/sub: each committed change of a candle. */
  candles(interval: Interval, symbol: string): string;
  /** Pub/sub: price_update. */
  prices(symbol: string): string;
  /** Pub/sub, and a key that holds the last message: the feed's state ({@link FeedStatus}). */
  feedStatus: string;
  /** Stream of journal entries of a partition, and the pub/sub channel that says that there are more. */
  journal(partition: number): string;
  /** Hash beside the stream: identity and counters of the journal. */
  journalHead(partition: number): string;
}

/** @param prefix without the closing colon, as in REDIS_PREFIX */
export function channelsOf(prefix: string = DEFAULT_PREFIX): Channels {
  return {
    bars: (symbol) => `${prefix}:bars:${symbol}`,
    candles: (interval, symbol) => `${prefix}:candles:${interval}:${symbol}`,
    prices: (symbol) => `${prefix}:prices:${symbol}`,
    feedStatus: `${prefix}:status:feed`,
    journal: (partition) => `${prefix}:journal:${partition}`,
    journalHead: (partition) => `${prefix}:journal:${partition}:head`,
  };
}
