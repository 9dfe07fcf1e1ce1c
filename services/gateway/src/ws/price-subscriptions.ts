import type { Following } from '../live/live';
import { ALL, type ClientMessage, symbolsOf } from './client-messages';
import type { Hold } from './demand-leases';
import { followIfRoom, refuseSome, refuseTooMany, type SubscriptionDeps, type Subscriptions } from './subscriptions';

/** Which prices one client is told. */
export class PriceSubscriptions implements Subscriptions {
  /** What the client asked for, `*` included. */
  private readonly wanted = new Set<string>();
  private readonly followed = new Map<string, Following>();
  private readonly demands = new Map<string, Hold>();
  private unfollow: (() => void) | null = null;

  constructor(private readonly deps: SubscriptionDeps) {}

  get size(): number {
    return this.wanted.size;
  }

  symbols(): Iterable<string> {
    return this.wanted;
  }

  subscribe(message: ClientMessage): void {
    const asked = symbolsOf(message);
    const added = [...asked].filter((symbol) => !this.wanted.has(symbol));
    if (!this.deps.hasRoom(added.length)) {
      refuseTooMany(this.deps, message);
      return;
    }
    for (const symbol of added) this.wanted.add(symbol);
    this.deps.counters.subscriptions.prices += added.length;
    this.acknowledge('subscribed', message);
    const { id } = message;
    if (added.includes(ALL)) {
      this.unfollow = this.deps.known.follow((some) => {
        // What was named together with `*` is told for that.
        const others = some.filter((symbol) => !asked.has(symbol));
        this.tell(others, id);
      });
    }
    const named = [...asked].filter((symbol) => symbol !== ALL);
    for (const symbol of named) {
      if (!this.demands.has(symbol)) this.demands.set(symbol, this.deps.leases.hold(symbol));
    }
    // What could not be followed when it was named is tried again.
    const untold = named.filter((symbol) => added.includes(symbol) || !this.followed.has(symbol));
    this.tell(untold, id);
  }

  unsubscribe(message: ClientMessage): void {
    this.drop(symbolsOf(message));
    this.acknowledge('unsubscribed', message);
  }

  end(): void {
    this.drop([...this.wanted]);
  }

  private acknowledge(type: 'subscribed' | 'unsubscribed', { id }: ClientMessage): void {
    this.deps.connection.send(JSON.stringify({ type, id, channel: 'prices', symbols: [...this.wanted] }));
  }

  /** Tells the current prices of the symbols, and those that come. */
  private tell(symbols: readonly string[], id: unknown): void {
    const { live, connection } = this.deps;
    const refused: string[] = [];
    for (const symbol of symbols) {
      const following = followIfRoom(() => live.followPrices(connection, symbol));
      if (following === null) refused.push(symbol);
      else {
        // It may have been followed for `*`, or by name: whoever begins anew is told the current price first.
        this.followed.get(symbol)?.stop();
        this.followed.set(symbol, following);
      }
    }
    refuseSome(connection, refused, id);
  }

  private drop(symbols: Iterable<string>): void {
    for (const symbol of symbols) {
      if (!this.wanted.delete(symbol)) continue;
      this.deps.counters.subscriptions.prices--;
      this.demands.get(symbol)?.release();
      this.demands.delete(symbol);
      if (symbol === ALL) this.unfollow?.();
    }
    if (this.wanted.has(ALL)) return;
    for (const [symbol, following] of this.followed) {
      if (this.wanted.has(symbol)) continue;
      following.stop();
      this.followed.delete(symbol);
    }
  }
}
