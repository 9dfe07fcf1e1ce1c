import { parseInstant } from '@candlewire/contracts';
import type { CandlesPage, CandlesQuery, SeriesState } from '@candlewire/store';
import type { Reads } from '../bound-store';
import { formatCursor } from './cursor';
import { unknownSymbol } from './errors';

/** What is kept of rendered pages, in all. A page of 1,000 candles has about 270 KB; small ones cost more than their bytes. */
const CACHE_BYTES_MAX = 32 * 1024 * 1024;
const CACHE_PAGES_MAX = 1_000;

/** A page as it goes out, and the state of the series that it is of. */
export interface RenderedPage {
  readonly head: SeriesState;
  readonly body: Buffer;
}

export interface CandlePages {
  /** The state of the series, null where it has none. Enough to tell whether a page that somebody holds still stands. */
  head(query: CandlesQuery): Promise<SeriesState | null>;
  /** @throws ApiError unknown_symbol */
  page(query: CandlesQuery): Promise<RenderedPage>;
}

/**
 * Answers to candle queries. A page can only differ from an earlier one of the same query if the series has moved on, so
 * rendered pages are kept with the series' (epoch, seq, horizon), and used after the store has said that these still hold: every
 * replica answers from the store's present state, whatever it has kept.
 */
export function createCandlePages(
  reads: Pick<Reads, 'candles' | 'head' | 'knowsSymbol'>,
  { bytesMax, pagesMax } = { bytesMax: CACHE_BYTES_MAX, pagesMax: CACHE_PAGES_MAX },
): CandlePages {
  const kept = new Map<string, RenderedPage>();
  let keptBytes = 0;

  function drop(key: string): void {
    const page = kept.get(key);
    if (page === undefined) return;
    kept.delete(key);
    keptBytes -= page.body.length;
  }

  /** A Map remembers the order of insertion: the first key is the one that was used longest ago. */
  function keep(key: string, page: RenderedPage): void {
    drop(key);
    if (page.body.length > bytesMax) return;
    kept.set(key, page);
    keptBytes += page.body.length;
    for (const oldest of kept.keys()) {
      if (keptBytes <= bytesMax && kept.size <= pagesMax) break;
      drop(oldest);
    }
  }

  const head = (query: CandlesQuery): Promise<SeriesState | null> => reads.head(query.symbol, query.interval);

  return {
    head,
    async page(query) {
      const key = JSON.stringify(query);
      const known = kept.get(key);
      if (known !== undefined) {
        const now = await head(query);
        if (now !== null && isSame(now, known.head)) {
          keep(key, known);
          return known;
        }
      }
      const page = await reads.candles(query);
      if (page.seq === 0 && !(await reads.knowsSymbol(query.symbol))) {
        throw unknownSymbol(query.symbol);
      }
      const { epoch, seq, horizon } = page;
      const rendered = { head: { epoch, seq, horizon }, body: render(query, page) };
      if (page.count > 0) keep(key, rendered);
      return rendered;
    },
  };
}

function isSame(a: SeriesState, b: SeriesState): boolean {
  return a.seq === b.seq && a.epoch === b.epoch && a.horizon === b.horizon;
}

/** Hot: the candles are text already, and stay it. */
function render(query: CandlesQuery, page: CandlesPage): Buffer {
  const { symbol, interval } = query;
  const cursor = nextCursor(query, page);
  return Buffer.from(
    `{"symbol":"${symbol}","interval":"${interval}","epoch":"${page.epoch}","seq":${page.seq},"candles":[${page.candlesJson}],"next_cursor":${cursor === null ? 'null' : `"${cursor}"`}}`,
  );
}

/**
 * Where the page after this one begins: right beside this one's edge and not at the next candle, so that a candle which
 * appears between the two in the meantime is not passed over.
 */
function nextCursor(query: CandlesQuery, { candlesJson, next }: CandlesPage): string | null {
  if (next === null) return null;
  const { direction } = query;
  const back = direction === 'back';
  const edge = openTimeIn(back ? candlesJson : candlesJson.slice(candlesJson.lastIndexOf('"timestamp"')));
  const rest = back ? { from: query.from, to: edge - 1 } : { from: edge + 1, to: query.to };
  return formatCursor(query, { direction, ...rest });
}

/** openTime of the first candle in the text. */
function openTimeIn(candlesJson: string): number {
  const instant = parseInstant(/"timestamp"\s*:\s*"([^"]+)"/.exec(candlesJson)?.[1] ?? '');
  if (instant === null) throw new TypeError('the store made a candle without timestamp');
  return instant;
}
