import type { Bus } from '@candlewire/bus';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { Time } from './time';

/** How often the set is looked at where nobody says that it changed: a lease ends without a word. */
const POLL_MS = 1_000;

export interface SymbolSetOptions {
  readonly store: Pick<Store, 'activeSymbols' | 'symbols' | 'register'>;
  readonly bus: Pick<Bus, 'demand' | 'subscribe'>;
  /** Where it is told that symbols were registered or deactivated. */
  readonly channel: string;
  /** Registered at start whatever the store says; null: `defaults`, where the store knows no symbol at all. */
  readonly wanted: readonly string[] | null;
  readonly defaults: readonly string[];
  /** How long what nobody watches any more is still delivered, for whoever comes back; default 0. What is deactivated goes at once. */
  readonly lingerMs?: number;
  readonly time: Time;
  readonly logger: Logger;
}

/** What a source is to deliver: what is registered in the store, then what somebody watches, or did a moment ago. */
export interface SymbolSet {
  /**
   * Registered ones ascending, then those that are merely watched, the longest watched first, then those that were until
   * a moment ago. Another array where it is another set, or in another order.
   */
  current(): readonly string[];
  /**
   * Registers what is to be registered, and looks for the first time.
   * @throws what the store throws
   */
  begin(): Promise<void>;
  /**
   * Follows the set until the signal is aborted. Where the store or the bus is away, what it said last stands.
   * `onRegistered` is called with what is new among the registered ones: `before` they are delivered, and what it gave
   * once they are; nothing is looked at meanwhile.
   */
  follow(onRegistered: OnRegistered, signal: AbortSignal): Promise<void>;
}

/** Called before symbols are delivered for the first time; calls what it returns once they are. */
export type OnRegistered = (symbols: readonly string[]) => Promise<() => Promise<void>>;

export function createSymbolSet(options: SymbolSetOptions): SymbolSet {
  const { store, bus, channel, wanted, defaults, lingerMs = 0, time, logger } = options;
  const logStale = boundedLog(logger, 'symbols not looked up', { first: 1 });
  let registered: readonly string[] = [];
  let watched: readonly string[] = [];
  let current: readonly string[] = [];
  /** Symbols that were watched, and until when they linger. */
  const lingering = new Map<string, number>();
  /** Watched symbols of which something was told: where they are watched no more, somebody ended that. */
  const told = new Set<string>();
  let changed = new AbortController();

  function deliver(): void {
    const next = [...new Set([...registered, ...watched, ...lingering.keys()])];
    const isSame = next.length === current.length && next.every((symbol, at) => symbol === current[at]);
    if (!isSame) current = next;
  }

  function watch(leased: readonly string[]): void {
    const now = time.now();
    const isLeased = new Set(leased);
    for (const symbol of watched) if (!isLeased.has(symbol)) lingering.set(symbol, now + lingerMs);
    watched = leased;
    for (const [symbol, until] of lingering) {
      if (until <= now || isLeased.has(symbol) || told.has(symbol)) lingering.delete(symbol);
    }
    for (const symbol of told) if (!isLeased.has(symbol)) told.delete(symbol);
  }

  function heard(symbol: string): void {
    if (watched.includes(symbol) || lingering.has(symbol)) told.add(symbol);
    changed.abort();
  }

  /** What `ask` says, or what was known. */
  async function latest(ask: () => Promise<readonly string[]>, known: readonly string[]): Promise<readonly string[]> {
    try {
      return await ask();
    } catch (err) {
      logStale({ err });
      return known;
    }
  }

  async function look(onRegistered: OnRegistered): Promise<void> {
    const [active, leased] = await Promise.all([
      latest(() => store.activeSymbols(), registered),
      latest(() => bus.demand.wanted(), watched),
    ]);
    const before = new Set(registered);
    const added = active.filter((symbol) => !before.has(symbol));
    const onDelivered = added.length > 0 ? await onRegistered(added) : null;
    registered = active;
    watch(leased);
    deliver();
    if (added.length > 0) logger.info('symbols registered', { symbols: added });
    await onDelivered?.();
  }

  return {
    current: () => current,

    async begin() {
      const named = wanted ?? ((await store.symbols()).length === 0 ? defaults : []);
      if (named.length > 0) await store.register(named.map((symbol) => ({ symbol, name: null })));
      registered = await store.activeSymbols();
      deliver();
    },

    async follow(onRegistered, signal) {
      const wake = () => changed.abort();
      // Not awaited: while the bus is away this waits.
      const listening = [bus.subscribe(channel, heard), bus.demand.onWant(wake)];
      signal.addEventListener('abort', wake);
      try {
        while (!signal.aborted) {
          // Made before the look: what is told while it is under way is looked at right after it.
          changed = new AbortController();
          await look(onRegistered);
          if (!signal.aborted) await time.pause(POLL_MS, changed.signal);
        }
      } finally {
        signal.removeEventListener('abort', wake);
        for (const one of listening) {
          one.then((stop) => stop()).catch((err) => logger.debug('listener not let go', { err }));
        }
      }
    },
  };
}
