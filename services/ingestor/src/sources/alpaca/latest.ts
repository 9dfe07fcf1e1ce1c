import { errors, marketData } from '@alpacahq/alpaca-trade-api';
import { parseInstant } from '@candlewire/contracts';
import { failureOf, type Respite } from './respite';
import type { Feed } from './settings';

const REQUEST_MS = 10_000;

export interface LatestOptions {
  readonly keyId: string;
  readonly secret: string;
  /** Origin of the server. */
  readonly url: string;
  readonly feed: Feed;
  readonly respite: Respite;
}

/**
 * @returns the last minute of which there is a bar, by symbol; symbols without any are not in it
 * @throws RateLimited, or what may be tried again
 */
export type Latest = (symbols: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, number>>;

interface WireLatest {
  readonly bars?: Readonly<Record<string, { readonly t?: unknown } | null>> | null;
}

/** The newest bars of the REST API, of the feed that is streamed: another one has bars that the stream never brings. */
export function createLatest({ keyId, secret, url, feed, respite }: LatestOptions): Latest {
  const api = new marketData.StockApi(
    new marketData.Configuration({ basePath: url, keyId, secret, timeoutMs: REQUEST_MS, redirect: 'error' }),
  );
  /** Symbols that it refuses to hear of, and all others with them. */
  const refused = new Set<string>();

  async function ask(symbols: readonly string[], newest: Map<string, number>, signal: AbortSignal): Promise<void> {
    respite.check();
    try {
      const query = { symbols: symbols.join(), feed: feed as marketData.StockLatestFeed };
      const { raw } = await api.stockLatestBarsRaw(query, { signal });
      const { bars } = (await raw.json()) as WireLatest;
      for (const [symbol, bar] of Object.entries(bars ?? {})) {
        const openTime = typeof bar?.t === 'string' ? parseInstant(bar.t) : null;
        if (openTime !== null) newest.set(symbol, openTime);
      }
    } catch (err) {
      if (!(err instanceof errors.ValidationError)) throw failureOf(err, respite);
      if (symbols.length === 1) refused.add(symbols[0]!);
      // It does not say which one.
      const half = Math.ceil(symbols.length / 2);
      for (const some of symbols.length === 1 ? [] : [symbols.slice(0, half), symbols.slice(half)]) {
        await ask(some, newest, signal);
      }
    }
  }

  return async (symbols, signal) => {
    const newest = new Map<string, number>();
    const answerable = symbols.filter((symbol) => !refused.has(symbol));
    if (answerable.length > 0) await ask(answerable, newest, signal);
    return newest;
  };
}
