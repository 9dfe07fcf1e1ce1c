import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Fields, type Logger } from '@candlewire/runtime';
import type { Bus, Demand } from './bus';
import { DEMAND_SCRIPTS } from './demand-scripts';
import { checkLease } from './limits';
import type { Commands } from './redis-connection';

/** Symbols in one script: Redis does nothing else while it runs. */
const SYMBOLS_AT_ONCE = 1_000;

/** Demand on Redis: two sorted sets, changed by scripts alone. */
export class RedisDemand implements Demand {
  private readonly keys: readonly [leases: string, order: string];
  private readonly refused: (fields: Fields) => void;

  constructor(
    private readonly commands: Commands,
    channels: Channels,
    private readonly subscribe: Bus['subscribe'],
    logger: Logger,
  ) {
    this.keys = [channels.demand, channels.demandOrder];
    this.refused = boundedLog(logger, 'too many symbols wanted');
    for (const [name, lua] of Object.entries(DEMAND_SCRIPTS)) commands.define(name, { lua, numberOfKeys: 2 });
  }

  async want(symbols: readonly string[], leaseMs: number): Promise<void> {
    checkLease(leaseMs);
    if (symbols.length === 0) return;
    const counts = await this.commands.pipeline((pipeline) => {
      for (let at = 0; at < symbols.length; at += SYMBOLS_AT_ONCE) {
        pipeline.demandWant(...this.keys, leaseMs, ...symbols.slice(at, at + SYMBOLS_AT_ONCE));
      }
    });
    const leftOut = (counts as number[]).reduce((sum, count) => sum + count, 0);
    if (leftOut > 0) this.refused({ leftOut });
  }

  wanted(): Promise<string[]> {
    return this.commands.run((redis) => redis.demandWanted(...this.keys));
  }

  async drop(symbol: string): Promise<void> {
    await this.commands.run((redis) => redis.demandDrop(...this.keys, symbol));
  }

  onWant(listener: () => void): Promise<() => Promise<void>> {
    return this.subscribe(this.keys[0], () => listener());
  }
}
