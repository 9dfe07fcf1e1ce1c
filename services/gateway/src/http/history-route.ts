import { ApiError, priceUpdate } from '@candlewire/contracts';
import { type RequestHandler, Router } from 'express';
import type { Reads } from '../bound-store';
import { historyRows, intervalOfTimeframe, newYorkTimestamp } from '../timeframes';
import { refuseOtherMethods, unknownSymbol } from './errors';
import { limitOf, symbolOf, textOf, timeframeOf } from './params';

const READS = ['GET', 'HEAD', 'OPTIONS'] as const;

/** `/api/symbols/{symbol}/historical` and `…/latest`: candles for charts, in New York time. */
export function historyRoute(store: Pick<Reads, 'candles' | 'latest' | 'knowsSymbol'>): Router {
  const historical: RequestHandler = async (req, res) => {
    const symbol = symbolOf(req.params.symbol);
    const timeframe = timeframeOf(textOf(req.query, 'timeframe'));
    const limit = limitOf(req.query);
    const interval = intervalOfTimeframe(timeframe);
    const page = await store.candles({ symbol, interval, direction: 'back', from: null, to: null, limit });
    if (page.count === 0 && !(await store.knowsSymbol(symbol))) throw unknownSymbol(symbol);
    res.setHeader('Cache-Control', 'no-cache');
    res.json({ symbol, timeframe, data: historyRows(page.candlesJson) });
  };

  const latest: RequestHandler = async (req, res) => {
    const symbol = symbolOf(req.params.symbol);
    const [newest] = await store.latest([symbol]);
    if (newest === undefined) {
      if (!(await store.knowsSymbol(symbol))) throw unknownSymbol(symbol);
      throw new ApiError('not_found', `${symbol} has no bar yet`);
    }
    const { open, high, low, close, volume, market_status } = newest.candle;
    const { price, change, change_percent } = priceUpdate(
      symbol,
      close,
      newest.reference,
      newest.candle.timestamp,
      volume,
    );
    const timestamp = newYorkTimestamp(newest.candle);
    res.setHeader('Cache-Control', 'no-cache');
    res.json({ symbol, price, timestamp, open, high, low, close, volume, change, change_percent, market_status });
  };

  const router = Router();
  router
    .route('/api/symbols/:symbol/historical')
    .get(historical)
    .all(refuseOtherMethods(...READS));
  router
    .route('/api/symbols/:symbol/latest')
    .get(latest)
    .all(refuseOtherMethods(...READS));
  return router;
}
