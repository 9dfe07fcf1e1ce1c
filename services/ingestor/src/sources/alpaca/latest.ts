import { marketData } from '@alpacahq/alpaca-trade-api';
import { parseInstant } from '@candlewire/contracts';
import type { Feed } from './settings';

const REQUEST_MS = 10_000;

export interface LatestOptions {
  readonly keyId: string;
  readonly secret: string;
  /** Origin of the server. */
  readonly url: string;
  readonly feed: Feed;
}

/** @returns the last minute of which there is a bar, by symbol; symbols without any are not in it. @throws what the SDK does */
export type Latest = (symbols: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, number>>;

interface WireLatest {
  readonly bars?: Readonly<Record<string, { readonly t?: unknown } | null>> | null;
}

/** The newest bars of the REST API, of the feed that is streamed: another one has bars that the stream never brings. */
export function createLatest({ keyId, secret, url, feed }: LatestOptions): Latest {
  const api = new marketData.StockApi(
    new marketData.Configuration({ basePath: url, keyId, secret, timeoutMs: REQUEST_MS, redirect: 'error' }),
  );
  return async (symbols, signal) => {
    const query = { symbols: symbols.join(), feed: feed as marketData.StockLatestFeed };
    const { raw } = await api.stockLatestBarsRaw(query, { signal });
    const { bars } = (await raw.json()) as WireLatest;
    const newest = new Map<string, number>();
    for (const [symbol, bar] of Object.entries(bars ?? {})) {
      const openTime = typeof bar?.t === 'string' ? parseInstant(bar.t) : null;
      if (openTime !== null) newest.set(symbol, openTime);
    }
    return newest;
  };
}
