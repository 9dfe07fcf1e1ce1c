import { errors, marketData } from '@alpacahq/alpaca-trade-api';
import { type Bar, type BarRefusal, isRefusal, MINUTE_MS, parseBar, parseInstant } from '@candlewire/contracts';
import type { Time } from '../../time';
import type { HistoryPage } from '../source';
import { failureOf, type Respite } from './respite';

/** The most that a page may hold. */
const PAGE_BARS = 10_000;
/** A plan without real-time SIP ends 15 minutes ago; a minute more for clocks that differ. */
const WALL_MS = 16 * MINUTE_MS;
/** A plan may be changed: the wall is believed in for so long. */
const WALL_BELIEVED_MS = 24 * 60 * MINUTE_MS;
const REQUEST_MS = 30_000;
const RECENT_SIP = /recent SIP/i;

export interface HistoryOptions {
  readonly keyId: string;
  readonly secret: string;
  /** Origin of the server. */
  readonly url: string;
  readonly time: Pick<Time, 'now'>;
  readonly onRefused: (reason: BarRefusal) => void;
  readonly respite: Respite;
  readonly requestMs?: number;
}

export type History = (symbol: string, from: number, to: number, signal: AbortSignal) => AsyncGenerator<HistoryPage>;

/** A page as it comes; nothing in it is certain. */
interface WirePage {
  readonly bars?: readonly unknown[] | null;
  readonly next_page_token?: string | null;
}

interface WireBar {
  readonly t: unknown;
  readonly o: unknown;
  readonly h: unknown;
  readonly l: unknown;
  readonly c: unknown;
  readonly v: unknown;
  readonly n: unknown;
  readonly vw: unknown;
}

/**
 * Minute bars of the REST API. No feed is named: then it answers with the best that the plan allows, which is SIP, the
 * whole market, and of the last 15 minutes only where the plan has that in real time. A plan that has not is found out by its
 * refusal, and history then ends 16 minutes ago. The last minutes of another feed are never mixed in: they would be other
 * bars of the same minutes.
 *
 * The SDK's generated layer is used, which makes one request for each call: pace and repetition are the caller's. The body is
 * read without it: its JSON parser, which keeps integers of any size, is most of what a page would cost.
 */
export function createHistory(options: HistoryOptions): History {
  const { keyId, secret, url, time, onRefused, respite, requestMs } = options;
  const basePath = url.replace(/\/+$/, '');
  const api = new marketData.StockApi(
    new marketData.Configuration({ basePath, keyId, secret, timeoutMs: requestMs ?? REQUEST_MS, redirect: 'error' }),
  );
  let wallUntil = Number.NEGATIVE_INFINITY;

  /** Up to here history may be asked for now. */
  const endAt = (now: number): number => {
    const end = now < wallUntil ? now - WALL_MS : now;
    return end - (end % MINUTE_MS);
  };

  function barsOf(symbol: string, rows: readonly unknown[], from: number, to: number, now: number): Bar[] {
    const bars: Bar[] = [];
    for (const row of rows) {
      const { t, o, h, l, c, v, n, vw } = (row ?? {}) as Partial<WireBar>;
      const openTime = typeof t === 'string' ? (parseInstant(t) ?? undefined) : undefined;
      const raw = { symbol, openTime, open: o, high: h, low: l, close: c, volume: v, tradeCount: n, vwap: vw, rev: 4 };
      const bar = parseBar(raw, now);
      if (isRefusal(bar)) onRefused(bar);
      else if (bar.openTime >= from && bar.openTime < to) bars.push(bar);
    }
    return bars.sort((one, other) => one.openTime - other.openTime);
  }

  return async function* history(symbol, from, to, signal) {
    const seen = new Set<string>();
    let pageToken: string | undefined;
    let answeredTo = from;
    while (!signal.aborted) {
      const now = time.now();
      const isBehindWall = now < wallUntil;
      const end = Math.min(to, endAt(now));
      if (end <= from) {
        yield { bars: [], answeredTo: end };
        return;
      }
      let answer: WirePage | null;
      respite.check();
      try {
        // Both ends are inclusive.
        const range = { start: new Date(from), end: new Date(end - 1) };
        const query = { symbol, timeframe: '1Min', ...range, limit: PAGE_BARS, ...(pageToken && { pageToken }) };
        const { raw } = await api.stockBarSingleRaw(query, { signal });
        answer = (await raw.json()) as WirePage | null;
      } catch (err) {
        if (signal.aborted) return;
        const isWall = err instanceof errors.PermissionError && RECENT_SIP.test(err.message);
        // What was asked before anybody knew of the wall may be refused after somebody else found it.
        if (!isWall || isBehindWall) throw failureOf(err, respite);
        wallUntil = now + WALL_BELIEVED_MS;
        // Another query: a token of the one before says nothing in it.
        pageToken = undefined;
        seen.clear();
        // The refusal was this page's request; the next one is for the caller to pace.
        if (endAt(now) > from) yield { bars: [], answeredTo };
        continue;
      }
      const bars = barsOf(symbol, answer?.bars ?? [], from, end, now);
      pageToken = answer?.next_page_token || undefined;
      if (pageToken === undefined) {
        yield { bars, answeredTo: end };
        return;
      }
      if (bars.length > 0) answeredTo = Math.max(answeredTo, bars.at(-1)!.openTime + MINUTE_MS);
      yield { bars, answeredTo };
      if (seen.has(pageToken)) throw new Error('history repeats a page');
      seen.add(pageToken);
    }
  };
}
