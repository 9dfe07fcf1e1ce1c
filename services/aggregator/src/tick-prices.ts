import type { Bus } from '@candlewire/bus';
import { type Channels, decodeTicks, partitionOf, type Tick } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { AggregatorCounters } from './counters';
import type { LiveSymbols } from './live-symbols';
import { priceMessage } from './messages';

export interface TickPricesDeps {
  readonly bus: Pick<Bus, 'publish'>;
  readonly channels: Channels;
  readonly counters: AggregatorCounters;
  readonly logger: Logger;
}

/** Prices of the newest ticks of a partition. */
export class TickPrices {
  /** The newest of each symbol that was not told yet. */
  private readonly newest = new Map<string, Tick>();

  constructor(
    private readonly partition: number,
    private readonly symbols: LiveSymbols,
    private readonly deps: TickPricesDeps,
  ) {}

  /** Takes a message of the partition's channel of ticks. */
  hear(text: string): void {
    for (const tick of decodeTicks(text)) {
      if (partitionOf(tick.symbol) !== this.partition) continue;
      this.newest.set(tick.symbol, tick);
      this.deps.counters.ticks++;
    }
  }

  /** To be called between commits: the close that a price is compared with is one that is stored. */
  async tell(): Promise<void> {
    if (this.newest.size === 0) return;
    const { channels, bus, counters, logger } = this.deps;
    const ticks = [...this.newest.values()];
    this.newest.clear();
    await this.symbols.load(ticks.map(({ symbol }) => symbol));
    const messages = ticks.flatMap((tick) => {
      const price = this.symbols.price(tick);
      return price === null ? [] : [priceMessage(price, channels)];
    });
    try {
      await bus.publish(messages);
      counters.messages += messages.length;
    } catch (err) {
      // Best effort: the next tick is a second away.
      logger.debug('prices not told', { err });
    }
  }
}
