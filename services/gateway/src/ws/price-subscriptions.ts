import type { Following } from '../live/live';
import { ALL, type ClientMessage, symbolsOf } from './client-messages';
import type { Hold } from './demand-leases';
import { followOr, refuseTooMany, type SubscriptionDeps, type Subscriptions } from './subscriptions';

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
    if (added.includes(ALL)) {
      this.unfollow = this.deps.known.follow((some) => {
        for (const one of some) this.follow(one);
      });
    }
    for (const symbol of asked) {
      if (symbol === ALL) continue;
      if (!this.demands.has(symbol)) this.demands.set(symbol, this.deps.leases.hold(symbol));
      this.follow(symbol);
    }
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

  private follow(symbol: string): void {
    if (this.followed.has(symbol)) return;
    const { live, connection } = this.deps;
    const following = followOr(connection, () => live.followPrices(connection, symbol));
    if (following !== null) this.followed.set(symbol, following);
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
