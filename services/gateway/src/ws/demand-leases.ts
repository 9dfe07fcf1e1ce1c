import type { Bus } from '@candlewire/bus';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Reads } from '../bound-store';

/** How long a source goes on for nobody when a gateway has died; each holder asks again at half of it. */
const LEASE_MS = 30_000;

/** One symbol that is wanted; all who want it have the same, and each of them releases it once. */
export interface Hold {
  release(): void;
}

export interface DemandLeases {
  /** The symbol is wanted until each hold on it was released. */
  hold(symbol: string): Hold;
  close(): void;
}

export interface DemandLeasesDeps {
  readonly bus: Pick<Bus, 'demand' | 'onReconnect' | 'subscribe'>;
  readonly store: Pick<Reads, 'symbols'>;
  /** Where it is announced that a symbol is no longer to be delivered. */
  readonly channel: string;
  readonly logger: Logger;
  readonly leaseMs?: number;
}

/**
 * Keeps a lease on what the clients of this replica watch by name, so that a source delivers it. Where a symbol is
 * deactivated, those who hold it then hold nothing any more: whoever begins to watch it later asks anew.
 */
export function createDemandLeases(deps: DemandLeasesDeps): DemandLeases {
  const { bus, store, channel, logger, leaseMs = LEASE_MS } = deps;
  const holders = new Map<string, Counted>();
  const fresh = new Set<string>();
  const logFailure = boundedLog(logger, 'demand not told');
  const failed = (err: unknown): void => logFailure({ err });
  let working = false;
  let closed = false;

  /** What comes up in one moment, or while one call is under way, goes with one call. */
  async function work(): Promise<void> {
    await Promise.resolve();
    while (fresh.size > 0 && !closed) {
      const symbols = [...fresh].filter((symbol) => holders.has(symbol));
      fresh.clear();
      // Whatever could not be told now is told with the next renewal, or when the bus is back.
      await bus.demand.want(symbols, leaseMs).catch(failed);
    }
    working = false;
  }

  function ask(symbols: Iterable<string>): void {
    for (const symbol of symbols) fresh.add(symbol);
    if (working) return;
    working = true;
    void work();
  }

  async function endIfInactive(symbol: string): Promise<void> {
    if (!holders.has(symbol)) return;
    const [row] = await store.symbols(symbol);
    if (row?.active !== false) return;
    holders.delete(symbol);
    // Once more than whoever announced it: this replica may just have asked.
    await bus.demand.drop(symbol);
  }

  const renewing = setInterval(() => ask(holders.keys()), leaseMs / 2);
  renewing.unref();
  bus.onReconnect(() => ask(holders.keys()));
  const listening = bus.subscribe(channel, (symbol) => {
    endIfInactive(symbol).catch(failed);
  });
  listening.catch((err: unknown) => closed || failed(err));

  return {
    hold(symbol) {
      let hold = holders.get(symbol);
      if (hold === undefined) {
        holders.set(symbol, (hold = new Counted((over) => holders.get(symbol) === over && holders.delete(symbol))));
        ask([symbol]);
      }
      hold.count++;
      return hold;
    },
    close() {
      closed = true;
      clearInterval(renewing);
      listening.then((stop) => stop()).catch(() => {});
    },
  };
}

/** One object for all who hold a symbol: there are tens of thousands of clients, each with tens of symbols. */
class Counted implements Hold {
  count = 0;

  constructor(private readonly whenOver: (self: Counted) => void) {}

  release(): void {
    if (--this.count === 0) this.whenOver(this);
  }
}
