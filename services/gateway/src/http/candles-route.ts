import type { MarketCalendar } from '@candlewire/candles';
import type { CandlesQuery, SeriesState } from '@candlewire/store';
import { type Request, type RequestHandler, Router } from 'express';
import type { CandlePages } from './candle-pages';
import { parseCursor } from './cursor';
import { refuseOtherMethods } from './errors';
import { intervalOf, invalid, limitOf, rangeOf, symbolOf, textOf } from './params';

/** `GET /api/candles/{symbol}`: candles of one series, ascending, with their state, a page at a time. */
export function candlesRoute(pages: CandlePages, calendar: MarketCalendar): Router {
  const serve: RequestHandler = async (req, res) => {
    const query = candlesQueryOf(req, calendar);
    // A caller that holds a page learns for the price of one small read that it still stands.
    const head = req.headers['if-none-match'] === undefined ? null : await pages.head(query);
    res.setHeader('Cache-Control', 'no-cache');
    if (head !== null) {
      res.setHeader('ETag', tagOf(head));
      if (req.fresh) {
        res.status(304).end();
        return;
      }
    }
    const page = await pages.page(query);
    res.setHeader('ETag', tagOf(page.head));
    res.setHeader('Content-Type', 'application/json; charset=utf-8');
    res.send(page.body);
  };
  const router = Router();
  router
    .route('/api/candles/:symbol')
    .get(serve)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}

/** Of one address, a page changes with the series alone. Weak, since a proxy may compress it. */
function tagOf({ epoch, seq, horizon }: SeriesState): string {
  return `W/"${epoch}.${seq}${horizon === null ? '' : `.${horizon}`}"`;
}

/**
 * Without start the newest candles are asked for and pages lead into the past; with start the oldest, and pages lead
 * forward. A cursor says all that by itself: start and end are still checked beside it, but it wins. The limit may
 * change from page to page.
 */
function candlesQueryOf(req: Request, calendar: MarketCalendar): CandlesQuery {
  const { query } = req;
  const symbol = symbolOf(req.params.symbol);
  const interval = intervalOf(query);
  const limit = limitOf(query);
  const range = rangeOf(query, calendar);
  const cursor = textOf(query, 'cursor') ?? '';
  if (cursor === '') return { symbol, interval, direction: range.from === null ? 'back' : 'forward', ...range, limit };
  const rest = parseCursor({ symbol, interval }, cursor);
  if (rest === null)
    throw invalid('cursor', 'must be a next_cursor that was answered for the same symbol and interval');
  return { symbol, interval, ...rest, limit };
}
