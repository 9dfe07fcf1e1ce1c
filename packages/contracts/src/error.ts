/** Codes of errors that reach a caller, with their HTTP status. */
export const HTTP_STATUS = {
  invalid_parameter: 400,
  unauthorized: 401,
  forbidden: 403,
  unknown_symbol: 404,
  not_found: 404,
  method_not_allowed: 405,
  payload_too_large: 413,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
} as const;
export type ErrorCode = keyof typeof HTTP_STATUS;

/** WebSocket close codes. 1012, 4408, 4429 and 4503: come back with backoff; the other 44xx: do not. */
export const CLOSE_CODE = {
  normal: 1000,
  goingAway: 1001,
  unsupportedData: 1003,
  policy: 1008,
  tooBig: 1009,
  restart: 1012,
  badRequest: 4400,
  notAuthenticated: 4401,
  unknown: 4404,
  tooSlow: 4408,
  tooManySubscriptions: 4409,
  rateLimited: 4429,
  upstreamGone: 4503,
} as const;

/** An error that is told to the caller as it stands: code and message hold nothing that must not be seen. */
export class ApiError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  get status(): number {
    return HTTP_STATUS[this.code];
  }
}
