import { channelsOf } from '@candlewire/contracts';
import { boundedLog, type Fields, type Logger } from '@candlewire/runtime';
import type { Demand } from './bus';
import type { InProcessConnection } from './in-process-connection';
import { checkLease, WANTED_MAX } from './limits';

const channel = channelsOf().demand;

/** Who may still be wanted until when. A map keeps the order in which its keys were first set, which is their age. */
export class Leases {
  private readonly ends = new Map<string, number>();

  /** @returns how many symbols are new, and how many were left out */
  want(symbols: readonly string[], leaseMs: number): { added: number; leftOut: number } {
    this.expire();
    const before = this.ends.size;
    const end = Date.now() + leaseMs;
    let leftOut = 0;
    for (const symbol of symbols) {
      const present = this.ends.get(symbol);
      if (present === undefined && this.ends.size >= WANTED_MAX) leftOut++;
      else this.ends.set(symbol, Math.max(end, present ?? 0));
    }
    return { added: this.ends.size - before, leftOut };
  }

  wanted(): string[] {
    this.expire();
    return [...this.ends.keys()];
  }

  drop(symbol: string): void {
    this.ends.delete(symbol);
  }

  private expire(): void {
    const now = Date.now();
    for (const [symbol, end] of this.ends) if (end <= now) this.ends.delete(symbol);
  }
}

/** Demand on a bus within the process. */
export class InProcessDemand implements Demand {
  private readonly refused: (fields: Fields) => void;

  constructor(
    private readonly leases: Leases,
    private readonly connection: InProcessConnection,
    logger: Logger,
  ) {
    this.refused = boundedLog(logger, 'too many symbols wanted');
  }

  async want(symbols: readonly string[], leaseMs: number): Promise<void> {
    checkLease(leaseMs);
    await this.connection.run(() => {
      const { added, leftOut } = this.leases.want(symbols, leaseMs);
      if (leftOut > 0) this.refused({ leftOut });
      return this.connection.send(added > 0 ? [{ channel, text: `${added}` }] : []);
    });
  }

  wanted(): Promise<string[]> {
    return this.connection.run(() => this.leases.wanted());
  }

  drop(symbol: string): Promise<void> {
    return this.connection.run(() => this.leases.drop(symbol));
  }

  onWant(listener: () => void): Promise<() => Promise<void>> {
    return this.connection.subscribe(channel, () => listener());
  }
}
