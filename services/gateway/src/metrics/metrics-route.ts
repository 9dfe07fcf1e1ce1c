import type { Metrics } from '@candlewire/runtime';
import { type RequestHandler, Router } from 'express';
import { refuseOtherMethods } from '../http/errors';

/** `GET /metrics`: for Prometheus, in its text format. */
export function metricsRoute(metrics: Metrics): Router {
  const serve: RequestHandler = async (_req, res) => {
    const text = await metrics.text();
    res.setHeader('Cache-Control', 'no-store');
    res.setHeader('Content-Type', metrics.contentType);
    // Not `send`, which would rearrange the type.
    res.end(text);
  };
  const router = Router();
  router
    .route('/metrics')
    .get(serve)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}
