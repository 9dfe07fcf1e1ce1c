import { ApiError } from '@candlewire/contracts';
import type { Request, RequestHandler } from 'express';
import { rateLimit } from 'express-rate-limit';
import { type ApiKeys, keyInHeaders } from './api-keys';
import { RateWindows } from './rate-windows';

/** Calls are counted over so long: a page that loads may ask for much at once. */
const WINDOW_S = 10;
/** Of probes, which nobody counts. */
const PROBES: readonly string[] = ['/health', '/ready'];
/** What needs no key: probes, and the page that asks for one. Whatever is not named here does, metrics too. */
const OPEN: readonly string[] = [...PROBES, '/'];

export interface HttpAdmission {
  readonly apiKeys: ApiKeys;
  readonly addressOf: (req: Request) => string;
  /** Calls a second of one key, or of one address that shows none. */
  readonly maxPerS: number;
}

/** Lets a call through, or answers 429 or 401; stands before every route. A limit first, so that keys cannot be tried out at will. */
export function admitHttp({ apiKeys, addressOf, maxPerS }: HttpAdmission): RequestHandler[] {
  return [limitCalls(apiKeys, addressOf, maxPerS), requireKey(apiKeys)];
}

function limitCalls(apiKeys: ApiKeys, addressOf: HttpAdmission['addressOf'], maxPerS: number): RequestHandler {
  const windowMs = WINDOW_S * 1_000;
  const windows = new RateWindows(windowMs);
  return rateLimit({
    windowMs,
    limit: maxPerS * WINDOW_S,
    store: windows,
    keyGenerator: (req) => apiKeys.nameOf(keyInHeaders(req.headers)) ?? addressOf(req),
    skip: ({ path }) => PROBES.includes(path),
    legacyHeaders: false,
    standardHeaders: false,
    // It would write to the console; what it looks for is tested.
    validate: false,
    handler(_req, res, next) {
      res.setHeader('Retry-After', Math.max(1, Math.ceil(windows.msLeft() / 1_000)));
      next(new ApiError('rate_limited', `more than ${maxPerS} calls a second over ${WINDOW_S} s`));
    },
  });
}

function requireKey(apiKeys: ApiKeys): RequestHandler {
  return (req, res, next) => {
    if (!apiKeys.required || OPEN.includes(req.path)) return next();
    const given = keyInHeaders(req.headers);
    if (apiKeys.nameOf(given) !== null) return next();
    res.setHeader('WWW-Authenticate', challengeTo(given));
    next(unauthorized(given));
  };
}

/** Of RFC 6750. */
export function challengeTo(given: string | null): string {
  return given === null ? 'Bearer realm="candlewire"' : 'Bearer realm="candlewire", error="invalid_token"';
}

export function unauthorized(given: string | null): ApiError {
  return new ApiError(
    'unauthorized',
    given === null ? 'an API key is needed, as Authorization: Bearer or X-API-Key' : 'the API key is not valid',
  );
}
