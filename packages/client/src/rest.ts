import { symbolOf } from './arguments.ts';
import { backoffMs, pause } from './backoff.ts';
import { CandlewireError } from './errors.ts';
import type {
  CandlesPage,
  HistoricalPage,
  Interval,
  LatestPrice,
  Liveness,
  Readiness,
  SeriesCandle,
  Status,
  SymbolRow,
  Timeframe,
} from './types.ts';

const TIMEOUT_MS = 30_000;
const RETRIES = 3;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 5_000;
/** A server that asks for a longer pause gets an error instead: its caller knows better whether to wait. */
const RETRY_AFTER_MAX_MS = 30_000;
const PAGE_ROWS = 1_000;
const BEGINNING = '1970-01-01T00:00:00Z';
/** The server is there but busy: the request was not looked at. */
const BUSY = [429, 503];

/** How to reach a gateway over HTTP. */
export interface RestOptions {
  /** Sent as `Authorization: Bearer`, so that it is in no URL. */
  readonly apiKey?: string | undefined;
  /** Milliseconds for one attempt, answer included. Default 30 000. */
  readonly timeoutMs?: number | undefined;
  /** How often a call is made again after 429 and 503, `Retry-After` respected. Default 3; 0: never. */
  readonly retries?: number | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch | undefined;
}

/** Of every call. */
export interface CallOptions {
  /** Aborting it ends the call, or its wait for the next attempt, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** An instant (a Date, or RFC 3339 with a zone) or a New York day (`2025-11-03`). */
export type Instant = string | Date;

/** Which candles of a series. */
export interface CandlesQuery extends CallOptions {
  /** Default `1m`. */
  readonly interval?: Interval | undefined;
  /** 1 to 1000, default 100. */
  readonly limit?: number | undefined;
  /** First instant, inclusive. With it: the oldest candles from there. Without: the newest up to `end`. */
  readonly start?: Instant | undefined;
  /** Last instant, inclusive. */
  readonly end?: Instant | undefined;
  /** `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
}

/** Which candles of a series, oldest first. */
export interface HistoryQuery extends CallOptions {
  /** First instant, inclusive; default: the first candle that there is. */
  readonly start?: Instant | undefined;
  /** Last instant, inclusive; default: the newest candle. */
  readonly end?: Instant | undefined;
  /** Candles asked for at once, 1 to 1000. Default 1000. */
  readonly pageSize?: number | undefined;
}

interface Call extends CallOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, Instant | number | undefined>>;
  readonly body?: object;
  /** Statuses beside 2xx whose body is an answer. */
  readonly answers?: readonly number[];
}

/** The gateway's HTTP calls, typed. Every call throws a {@link CandlewireError} where it fails. */
export class RestClient {
  private readonly base: URL;
  private readonly timeoutMs: number;
  private readonly retries: number;
  private readonly fetch: typeof fetch;
  private readonly headers: Readonly<Record<string, string>>;

  /** @param url of the gateway, with the path that it is under, if any: `http://localhost:8000` */
  constructor(url: string | URL, options: RestOptions = {}) {
    this.base = new URL(url);
    if (!this.base.pathname.endsWith('/')) this.base.pathname += '/';
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.retries = options.retries ?? RETRIES;
    // Browsers refuse a fetch that is called as a method of something else.
    this.fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.headers = options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` };
  }

  /** One page of candles, ascending. */
  candles(symbol: string, { signal, ...query }: CandlesQuery = {}): Promise<CandlesPage> {
    return this.call(`api/candles/${symbolOf(symbol)}`, { query, signal });
  }

  /** Every stored candle from `start` to `end`, oldest first, page after page as the loop goes on. */
  async *history(symbol: string, interval: Interval, query: HistoryQuery = {}): AsyncGenerator<SeriesCandle, void> {
    const { start = BEGINNING, end, pageSize: limit = PAGE_ROWS, signal } = query;
    for (let cursor: string | undefined; ; ) {
      const page = await this.candles(symbol, { interval, limit, start, end, cursor, signal });
      const series = { symbol: page.symbol, interval: page.interval, epoch: page.epoch };
      for (const candle of page.candles) yield { ...series, ...candle };
      if (page.next_cursor === null) return;
      cursor = page.next_cursor;
    }
  }

  /** Every symbol that was ever registered or seen, ascending. */
  async symbols(options: CallOptions = {}): Promise<readonly SymbolRow[]> {
    return (await this.call<{ symbols: SymbolRow[] }>('api/symbols', options)).symbols;
  }

  /** Registers a symbol, new or known: the source delivers it from now on. Answers its row. */
  addSymbol(symbol: string, { signal, name }: CallOptions & { readonly name?: string } = {}): Promise<SymbolRow> {
    return this.call('api/symbols', { method: 'POST', body: { symbol: symbolOf(symbol), name }, signal });
  }

  /** Ends the delivery of a symbol. Its history stays. */
  removeSymbol(symbol: string, options: CallOptions = {}): Promise<void> {
    return this.call(`api/symbols/${symbolOf(symbol)}`, { method: 'DELETE', ...options });
  }

  /** The newest candles for a chart, ascending, in New York time. */
  historical(
    symbol: string,
    { signal, ...query }: CallOptions & { readonly timeframe?: Timeframe; readonly limit?: number } = {},
  ): Promise<HistoricalPage> {
    return this.call(`api/symbols/${symbolOf(symbol)}/historical`, { query, signal });
  }

  /** The newest minute, in New York time; `not_found` where there is no bar yet. */
  latest(symbol: string, options: CallOptions = {}): Promise<LatestPrice> {
    return this.call(`api/symbols/${symbolOf(symbol)}/latest`, options);
  }

  /** Whether the gateway's process lives. */
  health(options: CallOptions = {}): Promise<Liveness> {
    return this.call('health', options);
  }

  /** Whether it should get requests. `not_ready` is an answer, not an error. */
  ready(options: CallOptions = {}): Promise<Readiness> {
    return this.call('ready', { answers: [503], ...options });
  }

  /** How everything does, the source included. */
  status(options: CallOptions = {}): Promise<Status> {
    return this.call('api/health', options);
  }

  private async call<T>(path: string, call: Call): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.attempt<T>(path, call);
      } catch (err) {
        if (!(err instanceof CandlewireError) || !BUSY.includes(err.status) || attempt > this.retries) throw err;
        const askedMs = err.retryAfterMs ?? 0;
        if (askedMs > RETRY_AFTER_MAX_MS) throw err;
        // The pause asked for is the same for everybody who was sent away: chance comes on top of it.
        await pause(askedMs + backoffMs(attempt, RETRY_MIN_MS, RETRY_MAX_MS), call.signal);
      }
    }
  }

  private async attempt<T>(path: string, { method = 'GET', query, body, signal, answers }: Call): Promise<T> {
    signal?.throwIfAborted();
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
    }
    const abort = new AbortController();
    const forward = () => abort.abort();
    signal?.addEventListener('abort', forward, { once: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      abort.abort();
    }, this.timeoutMs);
    try {
      const response = await this.fetch(url, {
        method,
        signal: abort.signal,
        headers: body ? { ...this.headers, 'content-type': 'application/json' } : this.headers,
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return read<T>(response, text, answers ?? []);
    } catch (err) {
      if (signal?.aborted) throw signal.reason;
      if (err instanceof CandlewireError) throw err;
      if (isLate)
        throw new CandlewireError(`no answer within ${this.timeoutMs} ms: ${method} ${url.pathname}`, {
          code: 'timeout',
          retryable: true,
          cause: err,
        });
      throw new CandlewireError(`no answer from ${url.origin}`, { code: 'network', retryable: true, cause: err });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', forward);
    }
  }
}

/** The body of an answer, or its error thrown. Whatever stands between us and the gateway may answer anything. */
function read<T>(response: Response, text: string, answers: readonly number[]): T {
  const { status } = response;
  if (status === 204) return undefined as T;
  let body: { error?: { code?: unknown; message?: unknown } } | null = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Told below.
  }
  const isObject = typeof body === 'object' && body !== null;
  const error = isObject ? body?.error : undefined;
  if (isObject && !error && (response.ok || answers.includes(status))) return body as T;
  const isBusy = BUSY.includes(status);
  throw new CandlewireError(typeof error?.message === 'string' ? error.message : `HTTP ${status}`, {
    status,
    code: typeof error?.code === 'string' ? error.code : isBusy ? 'unavailable' : 'bad_answer',
    retryable: isBusy || status >= 500,
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')),
  });
}

/** Seconds or a date, as RFC 9110 has it. */
function retryAfterMs(header: string | null): number | null {
  if (header === null || header.trim() === '') return null;
  const ms = Number.isFinite(Number(header)) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
