/** What an error is made of. */
export interface CandlewireErrorOptions {
  /** HTTP status or WebSocket close code; 0 where no answer came. */
  readonly status?: number;
  readonly code: string;
  readonly retryable?: boolean;
  /** How long the server asks to wait. */
  readonly retryAfterMs?: number | null;
  readonly cause?: unknown;
}

/**
 * Everything that this client throws of its own (an aborted signal throws its reason). `code` is the server's
 * (`invalid_parameter`, `unauthorized`, `unknown_symbol`, `not_found`, `rate_limited`, `unavailable` …), or ours:
 * `network` (no answer), `timeout`, `bad_answer` (not what a gateway answers), `connection_refused` (the WebSocket was
 * closed for good), `too_slow` (a loop's buffer is full), `closed` (the client was closed).
 */
export class CandlewireError extends Error {
  override readonly name = 'CandlewireError';
  /** HTTP status or WebSocket close code; 0 where no answer came. */
  readonly status: number;
  readonly code: string;
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /** How long the server asked to wait; null where it did not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, options: CandlewireErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status ?? 0;
    this.code = options.code;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** An argument that the server would refuse. */
export function invalid(message: string): CandlewireError {
  return new CandlewireError(message, { status: 400, code: 'invalid_parameter' });
}
