import type { Bus } from '@candlewire/bus';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Reads } from '../bound-store';
import { Gathered } from '../live/gathered';

/** Symbols that nobody registered appear with their first bar, which is announced to nobody. */
const POLL_MS = 3_000;

export interface KnownSymbols {
  /** Every known symbol, as the store says now. @throws ApiError unavailable */
  all(): Promise<readonly string[]>;
  /**
   * Calls `listener` with every known symbol, soon and not at once, and then with those that appear, until the returned
   * function was called.
   */
  follow(listener: (symbols: readonly string[]) => void): () => void;
  close(): void;
}

export interface KnownSymbolsDeps {
  readonly store: Pick<Reads, 'symbols'>;
  readonly bus: Pick<Bus, 'subscribe' | 'onReconnect'>;
  /** Where registrations are announced. */
  readonly channel: string;
  readonly logger: Logger;
  readonly pollMs?: number;
}

/** The symbols that there are, read from the store as long as somebody wants to know. */
export function createKnownSymbols(deps: KnownSymbolsDeps): KnownSymbols {
  const { store, bus, channel, logger, pollMs = POLL_MS } = deps;
  const known = new Set<string>();
  const listeners = new Set<(symbols: readonly string[]) => void>();
  const logFailure = boundedLog(logger, 'symbols not followed');
  const failed = (err: unknown): void => logFailure({ err });
  let polling: NodeJS.Timeout | undefined;

  const looks = new Gathered<void, readonly string[]>(async (askers) => {
    const rows = await store.symbols();
    const all = rows.map(({ symbol }) => symbol);
    const appeared = all.filter((symbol) => !known.has(symbol));
    for (const symbol of appeared) known.add(symbol);
    if (appeared.length > 0) for (const listener of listeners) listener(appeared);
    return askers.map(() => all);
  }, Number.POSITIVE_INFINITY);

  function look(): void {
    // Whatever failed, the next look comes soon.
    if (listeners.size > 0) looks.ask().catch(failed);
  }

  const listening = bus.subscribe(channel, look);
  // Without the channel there is still the timer.
  listening.catch(() => {});
  bus.onReconnect(look);

  return {
    all: () => looks.ask(),
    follow(listener) {
      listeners.add(listener);
      if (listeners.size === 1) polling = setInterval(look, pollMs);
      if (known.size > 0) queueMicrotask(() => listeners.has(listener) && listener([...known]));
      look();
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) clearInterval(polling);
      };
    },
    close() {
      clearInterval(polling);
      listening.then((stop) => stop()).catch(() => {});
    },
  };
}
