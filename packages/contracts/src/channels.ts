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
  /** Pub/sub, ingestor to aggregator: conflated ticks of the symbols of a partition ({@link encodeTicks}). */
  ticks(partition: number): string;
  /** Pub/sub, and a key that holds the last message: the feed's state ({@link FeedStatus}). */
  feedStatus: string;
  /** Pub/sub: a symbol that was just registered or is no longer to be delivered; what is so now, the store says. */
  symbols: string;
  /** Stream of journal entries of a partition, and the pub/sub channel that says that there are more. */
  journal(partition: number): string;
  /** Hash beside the stream: identity and counters of the journal. */
  journalHead(partition: number): string;
  /** Hash that expires: which ingestor leads, and its token. And the pub/sub channel that says that it let go. */
  leader: string;
  /** How often the lead was taken. */
  leaderCount: string;
  /** Sorted set of the symbols that somebody wants now, by the end of their lease, and the pub/sub channel that says that there are more. */
  demand: string;
  /** Sorted set beside it: the same symbols in the order in which they were first wanted. */
  demandOrder: string;
}

/** @param prefix without the closing colon, as in REDIS_PREFIX */
export function channelsOf(prefix: string = DEFAULT_PREFIX): Channels {
  return {
    bars: (symbol) => `${prefix}:bars:${symbol}`,
    candles: (interval, symbol) => `${prefix}:candles:${interval}:${symbol}`,
    prices: (symbol) => `${prefix}:prices:${symbol}`,
    ticks: (partition) => `${prefix}:ticks:${partition}`,
    feedStatus: `${prefix}:status:feed`,
    symbols: `${prefix}:symbols`,
    journal: (partition) => `${prefix}:journal:${partition}`,
    journalHead: (partition) => `${prefix}:journal:${partition}:head`,
    leader: `${prefix}:leader`,
    leaderCount: `${prefix}:leader:count`,
    demand: `${prefix}:demand`,
    demandOrder: `${prefix}:demand:order`,
  };
}
