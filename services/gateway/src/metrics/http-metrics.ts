import type { Metrics } from '@candlewire/runtime';
import type { Request, RequestHandler, Response } from 'express';

/** Answers by which callers are kept out, and what they are counted as. */
const REFUSALS: Readonly<Record<number, string>> = { 401: 'unauthorized', 403: 'forbidden', 429: 'rate_limited' };

/** Measures every answer; stands before everything else, so that refusals are counted as well. */
export function measureHttp(metrics: Metrics): RequestHandler {
  const refused = Object.fromEntries(Object.values(REFUSALS).map((reason) => [reason, 0]));
  const took = metrics.seconds('gateway_http_request_seconds', 'Duration of an HTTP request.', 'route', 'status');
  metrics.counterBy('reason', 'gateway_http_refused_total', 'HTTP requests of callers kept out.', () => refused);
  return (req, res, next) => {
    const begunAt = performance.now();
    res.once('close', () => {
      took.observe((performance.now() - begunAt) / 1_000, routeOf(req), statusOf(res));
      const reason = REFUSALS[res.statusCode];
      if (reason !== undefined) refused[reason]!++;
    });
    next();
  };
}

/** As it is written in the code (`/api/candles/:symbol`): a caller can make up paths, and each would be kept for ever. */
function routeOf({ route }: Request): string {
  const path: unknown = route?.path;
  return typeof path === 'string' ? path : 'none';
}

function statusOf({ writableFinished, statusCode }: Response): string {
  return writableFinished ? `${Math.floor(statusCode / 100)}xx` : 'aborted';
}
