import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Logger, pause } from '@candlewire/runtime';
import type { Reads } from '../bound-store';
import type { Format, SeriesName } from './change';
import { OpenChannels } from './channels';
import type { LiveClient } from './client';
import type { LiveCounters } from './counters';
import { Flusher } from './flusher';
import { PriceChannel, PriceFollower } from './price-channel';
import { createReader } from './reader';
import { RecentBudget } from './recent';
import { Series } from './series';
import { SeriesFollower, type Start } from './series-follower';

/**
 * How often it is asked whether messages were lost: the quieter a series, the longer nothing else would tell. A message that
 * is lost just after one answer is missed with the next: 15 s and twice what is on its way later, which is within 20 s.
 */
const HEADS_MS = 15_000;
/** A message may be on its way when the store is asked: what has not come by then was lost. */
const ON_ITS_WAY_MS = 2_000;
/** Characters of a message that the log repeats. */
const LOGGED_MAX = 200;

/** Something that a client follows, until it is stopped. */
export interface Following {
  stop(): void;
}

export interface FollowingSeries extends Following {
  /** The client was told something of it. */
  readonly hasBegun: boolean;
  /** Tells the series anew, with so many candles. */
  again(rows: number): void;
}

/** Live delivery: the channels of the bus on one side, the outboxes of the clients on the other. */
export interface Live {
  readonly flusher: Flusher;
  /** The client is told the series from `start` on, without a hole. @throws TooManyChannels */
  followSeries(client: LiveClient, name: SeriesName, format: Format, start: Start): FollowingSeries;
  /** The client is told the current price and those that come. @throws TooManyChannels */
  followPrices(client: LiveClient, symbol: string): Following;
  close(): void;
}

export interface LiveDeps {
  readonly bus: Pick<Bus, 'relay' | 'onReconnect'>;
  readonly store: Pick<Reads, 'candles' | 'changes' | 'heads' | 'latest'>;
  readonly channels: Pick<Channels, 'candles' | 'prices'>;
  readonly counters: LiveCounters;
  readonly flushMs: number;
  readonly logger: Logger;
  readonly headsMs?: number;
  readonly lingerMs?: number;
}

export function createLive(deps: LiveDeps): Live {
  const { bus, channels, counters, logger, headsMs = HEADS_MS, lingerMs } = deps;
  const closing = new AbortController();
  const budget = new RecentBudget();
  const reader = createReader({ store: deps.store, counters, signal: closing.signal });
  const logFailure = boundedLog(logger, 'live delivery failed');
  const logMessage = boundedLog(logger, 'candle message refused');
  const logChannel = boundedLog(logger, 'channel not opened');
  const onFailure = (err: unknown): void => void (closing.signal.aborted || logFailure({ err }));
  const flusher = new Flusher(deps.flushMs, onFailure);
  const onRefused = (text: string): void => logMessage({ text: text.slice(0, LOGGED_MAX) });
  const notOpened = (channel: string, err: unknown): void =>
    void (closing.signal.aborted || logChannel({ channel, err }));
  const series = new OpenChannels<Series>(bus, notOpened, lingerMs);
  const prices = new OpenChannels<PriceChannel>(bus, notOpened, lingerMs);

  /** Compares what was heard with where the store stands, for messages that nothing followed. */
  async function compareHeads(onItsWayMs: number): Promise<void> {
    const followed = [...series.hearers()].filter((one) => one.isFollowed());
    const heads = await Promise.all(followed.map((one) => one.readHead()));
    if (onItsWayMs > 0) await pause(onItsWayMs, closing.signal);
    for (const [i, one] of followed.entries()) one.compare(heads[i]!.epoch, heads[i]!.seq);
  }

  bus.onReconnect(() => {
    for (const channel of prices.hearers()) channel.lost();
    for (const one of series.hearers()) one.lost();
    compareHeads(0).catch(onFailure);
  });

  async function watchHeads(): Promise<void> {
    while (!closing.signal.aborted) {
      // Replicas that were started together need not ask together.
      await pause(headsMs * (0.75 + Math.random() / 4), closing.signal);
      if (closing.signal.aborted) return;
      for (const one of series.hearers()) one.tidy(performance.now());
      await compareHeads(ON_ITS_WAY_MS).catch(onFailure);
    }
  }
  void watchHeads();

  return {
    flusher,
    followSeries(client, name, format, start) {
      const { symbol, interval } = name;
      const open = series.use(
        channels.candles(interval, symbol),
        () => new Series(name, { reader: reader.of(name), flusher, counters, budget, onRefused, onFailure }),
      );
      return new SeriesFollower(open, client, format, start);
    },
    followPrices(client, symbol) {
      const open = prices.use(channels.prices(symbol), () => new PriceChannel(symbol, { reader, flusher, counters }));
      return new PriceFollower(open, client);
    },
    close() {
      closing.abort();
      series.close();
      prices.close();
    },
  };
}
