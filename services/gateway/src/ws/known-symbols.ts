import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Reads } from '../bound-store';
import type { Hub, Listening } from './hub';

/** Symbols that nobody registered appear with their first bar, which is announced to nobody. */
const POLL_MS = 3_000;

export interface KnownSymbols {
  /**
   * Calls `listener` with every known symbol, soon and not at once, and then with those that appear, until the returned
   * function was called.
   */
  follow(listener: (symbols: readonly string[]) => void): () => void;
  close(): void;
}

export interface KnownSymbolsDeps {
  readonly store: Pick<Reads, 'symbols'>;
  readonly hub: Hub;
  /** Where registrations are announced. */
  readonly channel: string;
  readonly logger: Logger;
  readonly pollMs?: number;
}

/** The symbols that there are, read from the store as long as somebody wants to know. */
export function createKnownSymbols(deps: KnownSymbolsDeps): KnownSymbols {
  const { store, hub, channel, logger, pollMs = POLL_MS } = deps;
  const known = new Set<string>();
  const listeners = new Set<(symbols: readonly string[]) => void>();
  const logFailure = boundedLog(logger, 'symbols not followed');
  let looking = false;
  let again = false;
  let polling: NodeJS.Timeout | undefined;
  let listening: Listening | null = null;

  async function read(): Promise<void> {
    const rows = await store.symbols();
    const appeared = rows.map(({ symbol }) => symbol).filter((symbol) => !known.has(symbol));
    for (const symbol of appeared) known.add(symbol);
    if (appeared.length > 0) for (const listener of listeners) listener(appeared);
  }

  async function lookNow(): Promise<void> {
    do {
      again = false;
      // The next look comes soon anyway.
      await read().catch((err: unknown) => logFailure({ err }));
    } while (again);
    looking = false;
  }

  /** Whatever is announced during a look may have come too late for it. */
  function look(): void {
    again = true;
    if (looking) return;
    looking = true;
    void lookNow();
  }

  function begin(): void {
    polling = setInterval(look, pollMs);
    listening = hub.listen(channel, { message: look, lost: look });
    // Without the channel there is still the timer.
    listening.ready.then(look, (err: unknown) => logFailure({ err }));
    look();
  }

  function end(): void {
    clearInterval(polling);
    listening?.stop();
    listening = null;
  }

  return {
    follow(listener) {
      if (listeners.size === 0) begin();
      listeners.add(listener);
      if (known.size > 0) queueMicrotask(() => listeners.has(listener) && listener([...known]));
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) end();
      };
    },
    close: end,
  };
}
