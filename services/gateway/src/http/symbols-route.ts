import { type RequestHandler, Router } from 'express';
import type { Reads } from '../reads';
import { refuseOtherMethods } from './errors';

/** `GET /api/symbols`: every symbol that was ever registered or seen. */
export function symbolsRoute(reads: Pick<Reads, 'symbols'>): Router {
  const list: RequestHandler = async (_req, res) => {
    const symbols = await reads.symbols();
    res.setHeader('Cache-Control', 'no-cache');
    res.json({ symbols });
  };
  const router = Router();
  router
    .route('/api/symbols')
    .get(list)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}
