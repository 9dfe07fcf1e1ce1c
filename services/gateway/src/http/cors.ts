import type { RequestHandler } from 'express';
import type { CorsOrigins } from '../config';

const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
const REQUEST_HEADERS = 'Authorization, Content-Type, If-None-Match, X-API-Key';
/** Headers of an answer that a script may read besides the ones that it always may. */
const RESPONSE_HEADERS = 'ETag, Retry-After';
const PREFLIGHT_MAX_AGE_S = 600;

/**
 * Lets pages of these origins read the answers, errors too, and answers preflights. To other origins the headers are
 * simply missing: it is the browser that refuses. No credentials: the API knows no cookies.
 */
export function cors(origins: CorsOrigins): RequestHandler {
  return (req, res, next) => {
    const { origin } = req.headers;
    if (origins !== '*') res.vary('Origin');
    const allowed = origins === '*' ? '*' : origin !== undefined && origins.includes(origin) ? origin : null;
    if (allowed !== null) {
      res.setHeader('Access-Control-Allow-Origin', allowed);
      res.setHeader('Access-Control-Expose-Headers', RESPONSE_HEADERS);
    }
    if (req.method !== 'OPTIONS') return next();
    if (allowed !== null) {
      res.setHeader('Access-Control-Allow-Methods', METHODS);
      res.setHeader('Access-Control-Allow-Headers', REQUEST_HEADERS);
      res.setHeader('Access-Control-Max-Age', PREFLIGHT_MAX_AGE_S);
    }
    res.setHeader('Allow', METHODS);
    res.status(204).end();
  };
}
