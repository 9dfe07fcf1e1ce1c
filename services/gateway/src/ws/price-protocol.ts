import { type Channels, CLOSE_CODE, priceUpdate } from '@candlewire/contracts';
import { onceAnswered, type Reads } from '../bound-store';
import { ALL, type ClientMessage, handleMessages, requirePrices, symbolsOf } from './client-messages';
import { ClientError, type Connection } from './connection';
import type { DemandLeases } from './demand-leases';
import type { Hub, HubMessage, Listening } from './hub';
import type { KnownSymbols } from './known-symbols';

/** Current prices that are read and sent at a time. */
const PRICES_AT_ONCE = 500;

export interface PriceProtocolDeps {
  readonly hub: Hub;
  readonly store: Pick<Reads, 'latest'>;
  readonly channels: Pick<Channels, 'prices'>;
  readonly leases: DemandLeases;
  readonly known: KnownSymbols;
  readonly subscriptionsMax: number;
  /** For what fails and is nobody's mistake. */
  readonly onFailure: (err: unknown) => void;
}

/** A symbol whose prices go to one client. */
interface Watch {
  readonly symbol: string;
  readonly listening: Listening;
  /** Whether a price was sent: none from before may follow it. */
  isTold: boolean;
  isOver: boolean;
}

/** `/ws`: prices of the symbols that a client names, or of all. */
export class PriceProtocol {
  /** What the client asked for, `*` included. */
  private readonly subscribed = new Set<string>();
  private readonly watches = new Map<string, Watch>();
  private readonly demands = new Map<string, () => void>();
  private unfollow: (() => void) | null = null;
  /** Hears what the client says. */
  readonly receive: (text: string) => void;

  constructor(
    private readonly deps: PriceProtocolDeps,
    private readonly connection: Connection,
  ) {
    this.receive = handleMessages(connection, {
      subscribe: (message) => this.subscribe(message),
      unsubscribe: (message) => this.unsubscribe(message),
    });
    connection.ended.addEventListener('abort', () => this.drop([...this.subscribed]), { once: true });
  }

  private subscribe(message: ClientMessage): void {
    requirePrices(message);
    const asked = symbolsOf(message);
    const { subscriptionsMax } = this.deps;
    const added = [...asked].filter((symbol) => !this.subscribed.has(symbol));
    if (this.subscribed.size + added.length > subscriptionsMax) {
      const text = `symbols: more than ${subscriptionsMax} subscriptions`;
      this.connection.refuse(CLOSE_CODE.tooManySubscriptions, 'too_many_subscriptions', text);
      return;
    }
    for (const symbol of added) this.subscribed.add(symbol);
    this.acknowledge('subscribed', message);
    this.add(added);
  }

  private unsubscribe(message: ClientMessage): void {
    requirePrices(message);
    this.drop([...symbolsOf(message)]);
    this.acknowledge('unsubscribed', message);
  }

  private acknowledge(type: 'subscribed' | 'unsubscribed', { id }: ClientMessage): void {
    const symbols = [...this.subscribed];
    this.connection.send(JSON.stringify({ type, id, channel: 'prices', symbols }));
  }

  private add(symbols: readonly string[]): void {
    const named = symbols.filter((symbol) => symbol !== ALL);
    for (const symbol of named) this.demands.set(symbol, this.deps.leases.hold(symbol));
    this.watch(named);
    if (symbols.includes(ALL)) this.unfollow = this.deps.known.follow((some) => this.watch(some));
  }

  private drop(symbols: readonly string[]): void {
    for (const symbol of symbols) {
      if (!this.subscribed.delete(symbol)) continue;
      this.demands.get(symbol)?.();
      this.demands.delete(symbol);
      if (symbol === ALL) {
        this.unfollow?.();
        this.unfollow = null;
      }
    }
    if (this.subscribed.has(ALL)) return;
    for (const [symbol, watch] of this.watches) if (!this.subscribed.has(symbol)) this.unwatch(watch);
  }

  private watch(symbols: readonly string[]): void {
    const fresh = symbols.filter((symbol) => !this.watches.has(symbol));
    const watches = fresh.map((symbol) => {
      const watch: Watch = {
        symbol,
        isTold: false,
        isOver: false,
        listening: this.deps.hub.listen(this.deps.channels.prices(symbol), {
          message: (message) => this.tell(watch, message),
        }),
      };
      this.watches.set(symbol, watch);
      return watch;
    });
    this.begin(watches).catch(this.deps.onFailure);
  }

  private unwatch(watch: Watch): void {
    watch.isOver = true;
    watch.listening.stop();
    this.watches.delete(watch.symbol);
  }

  /** Hot. */
  private tell(watch: Watch, { bytes }: HubMessage): void {
    watch.isTold = true;
    this.connection.send(bytes);
  }

  /** Sends what is known already, once nothing newer can be missed. */
  private async begin(watches: readonly Watch[]): Promise<void> {
    const opened = await Promise.allSettled(watches.map(({ listening }) => listening.ready));
    const refused = watches.filter((_, i) => opened[i]!.status === 'rejected');
    if (refused.length > 0) {
      this.drop(refused.map(({ symbol }) => symbol));
      for (const watch of refused) this.unwatch(watch);
      this.connection.sendError(new ClientError('unavailable', 'some symbols cannot be watched now; try again later'));
    }
    for (let from = 0; from < watches.length; from += PRICES_AT_ONCE) {
      await this.tellCurrent(watches.slice(from, from + PRICES_AT_ONCE));
      await this.connection.drained();
    }
  }

  private async tellCurrent(watches: readonly Watch[]): Promise<void> {
    const isOpen = ({ isTold, isOver }: Watch) => !isTold && !isOver;
    for (const watch of watches.filter(isOpen)) {
      const last = this.deps.hub.last(this.deps.channels.prices(watch.symbol));
      if (last !== null) this.tell(watch, last);
    }
    const rest = new Map(watches.filter(isOpen).map((watch) => [watch.symbol, watch]));
    if (rest.size === 0) return;
    const newest = await onceAnswered(() => this.deps.store.latest([...rest.keys()]), this.connection.ended);
    for (const { symbol, candle, reference } of newest ?? []) {
      const watch = rest.get(symbol)!;
      if (!isOpen(watch)) continue;
      watch.isTold = true;
      const price = priceUpdate(symbol, candle.close, reference, candle.timestamp, candle.volume);
      this.connection.send(JSON.stringify(price));
    }
  }
}
