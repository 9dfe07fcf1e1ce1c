import { historyOf, intervalOf, listOf, symbolOf } from './arguments.ts';
import { ConflatedQueue } from './conflated-queue.ts';
import { type CandlewireError, invalid } from './errors.ts';
import type { LinkState, WebSocketClass } from './link.ts';
import { type HistoryQuery, RestClient, type RestOptions } from './rest.ts';
import { Session } from './session.ts';
import type {
  CandleEvent,
  Interval,
  LeftOutEvent,
  PriceUpdate,
  ResetEvent,
  SeriesCandle,
  SeriesEvent,
  SkippedEvent,
  SnapshotEvent,
} from './types.ts';

const RECONNECT_MIN_MS = 500;
const RECONNECT_MAX_MS = 30_000;
const SILENCE_MS = 40_000;
const BUFFER_CANDLES_MAX = 100_000;

/** How to reach a gateway. */
export interface ClientOptions extends RestOptions {
  /** Shown as `Authorization` over HTTP and as the first message of the WebSocket: it is in no URL. */
  readonly apiKey?: string | undefined;
  /** Default: `globalThis.WebSocket`, and where there is none (Node before 22) that of `ws`. */
  readonly WebSocket?: WebSocketClass | undefined;
  /** Pauses between attempts to connect double from the first of these to the second, with chance in it. Default 500 and 30 000. */
  readonly reconnectMinMs?: number | undefined;
  readonly reconnectMaxMs?: number | undefined;
  /** A connection without any message for so long is lost. Default 40 000: the server says something every 15 s. */
  readonly silenceMs?: number | undefined;
}

/** Which candles to follow: each symbol in each interval. */
export interface FollowQuery {
  readonly symbols: string | readonly string[];
  /** Default `1m`. */
  readonly intervals?: Interval | readonly Interval[];
  /** Candles to begin each series with, 0 to 1000. Default 0: only what changes from now on. */
  readonly history?: number;
  /** Aborting it ends the subscription. */
  readonly signal?: AbortSignal;
}

/**
 * What is told of the followed series, of each in this order: a `snapshot` (empty where `history` is 0), then `candle`
 * for every change after it, over lost connections too; after a `reset` the next `snapshot` replaces everything. They are
 * called as messages come in: what they throw is an uncaught error of its own, and disturbs nobody else.
 */
export interface CandleHandlers {
  snapshot?(event: SnapshotEvent): void;
  candle?(event: CandleEvent): void;
  reset?(event: ResetEvent): void;
  skipped?(event: SkippedEvent): void;
  /** Which of the followed symbols nobody delivers now; at each change, and not at all as long as there are none. */
  leftOut?(event: LeftOutEvent): void;
  /** How the connection does; at once, and at each change. */
  state?(state: LinkState): void;
  /** The server refuses a series, or the connection for good: nothing more comes of it. Without this handler: uncaught. */
  error?(error: CandlewireError): void;
}

/** What is told of prices; as {@link CandleHandlers}. */
export interface PriceHandlers {
  price?(price: PriceUpdate): void;
  leftOut?(event: LeftOutEvent): void;
  state?(state: LinkState): void;
  error?(error: CandlewireError): void;
}

/** Something that is followed until it is closed. */
export interface Subscription {
  /** Nothing is told after it. May be called again. */
  close(): void;
}

/** Of a loop over candles. */
export interface CandlesOptions {
  /** Candles of each series to begin with, 0 to 1000. Default 0. */
  readonly history?: number;
  /** Aborting it ends the loop, which throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** The series begins anew: what was yielded of it is void, and its candles come once more. */
  readonly onReset?: (event: ResetEvent) => void;
  /** The connection was too slow for every state. */
  readonly onSkipped?: (event: SkippedEvent) => void;
  /** Which of the symbols nobody delivers now has changed. */
  readonly onLeftOut?: (event: LeftOutEvent) => void;
  /** So many candles, not changes, may wait to be read; more end the loop with `too_slow`. Default 100 000. */
  readonly bufferMax?: number;
}

/** Of a loop over prices. */
export interface PricesOptions extends Pick<CandlesOptions, 'signal' | 'onLeftOut'> {}

/**
 * A client of one gateway, or of many behind one address. What it costs: nothing until something is followed, then one
 * WebSocket, whatever is followed.
 *
 * ```ts
 * const client = new CandlewireClient('http://localhost:8000');
 * for await (const candle of client.candles('AAPL', '5m', { history: 200 })) console.log(candle.close, candle.final);
 * ```
 */
export class CandlewireClient {
  /** The HTTP calls. */
  readonly rest: RestClient;
  private readonly session: Session;
  private readonly closers = new Set<() => void>();

  /** @param url of the gateway, with the path that it is under, if any: `http://localhost:8000` */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.rest = new RestClient(url, options);
    this.session = new Session({
      url: socketUrl(url),
      apiKey: options.apiKey,
      WebSocket: options.WebSocket,
      reconnectMinMs: options.reconnectMinMs ?? RECONNECT_MIN_MS,
      reconnectMaxMs: options.reconnectMaxMs ?? RECONNECT_MAX_MS,
      silenceMs: options.silenceMs ?? SILENCE_MS,
      loadPage: ({ symbol, interval }, limit, signal) => this.rest.candles(symbol, { interval, limit, signal }),
    });
  }

  /** How the connection does. */
  get state(): LinkState {
    return this.session.state;
  }

  /** Every stored candle from `start` to `end`, oldest first: {@link RestClient.history}. */
  history(symbol: string, interval: Interval, query: HistoryQuery = {}): AsyncGenerator<SeriesCandle, void> {
    return this.rest.history(symbol, interval, query);
  }

  /**
   * The newest `history` candles of each series, then every candle that appears or changes, in the order of the changes,
   * without hole or repeat. To a loop slower than that, the states of one candle that wait are conflated: the newest
   * replaces the others, so that memory is bounded and of no candle the last state is missing.
   *
   * Each loop over it is a subscription of its own; leaving the loop ends it. `close()` ends it too. It throws the
   * signal's reason, or a {@link CandlewireError} where the server refuses or the loop is far too slow.
   */
  candles(
    symbols: string | readonly string[],
    intervals: Interval | readonly Interval[] = '1m',
    options: CandlesOptions = {},
  ): AsyncIterable<SeriesCandle> {
    const { history, signal, onReset, onSkipped, onLeftOut, bufferMax = BUFFER_CANDLES_MAX } = options;
    const query = parseQuery({ symbols, intervals, history: history ?? 0 });
    const begin = (
      queue: ConflatedQueue<CandleEvent, SeriesCandle>,
      error: (err: CandlewireError) => void,
    ): Subscription => {
      const candle = (event: CandleEvent) =>
        queue.put(`${event.symbol} ${event.interval} ${event.candle.timestamp}`, event);
      const ofSeries = (one: SnapshotEvent | ResetEvent) => (other: CandleEvent) =>
        one.symbol === other.symbol && one.interval === other.interval;
      return this.follow(query, {
        snapshot: (event) => {
          queue.drop(ofSeries(event));
          const { symbol, interval, epoch } = event;
          for (const row of event.candles)
            candle({ type: 'candle', symbol, interval, epoch, seq: row.seq, candle: row });
        },
        candle,
        reset: (event) => {
          queue.drop(ofSeries(event));
          onReset?.(event);
        },
        ...(onSkipped && { skipped: onSkipped }),
        ...(onLeftOut && { leftOut: onLeftOut }),
        error,
      });
    };
    const row = ({ symbol, interval, epoch, candle }: CandleEvent) => ({ symbol, interval, epoch, ...candle });
    return this.loop(begin, row, bufferMax, signal);
  }

  /** The same by events. Arguments that the server would refuse are thrown at once. */
  follow(query: FollowQuery, handlers: CandleHandlers): Subscription {
    const { symbols, intervals, history } = parseQuery(query);
    return this.subscribe(symbols, query.signal, handlers, (tell, failed) => {
      const sink = { event: (event: SeriesEvent) => tell(() => dispatch(handlers, event)), failed };
      const series = symbols.flatMap((symbol) => intervals.map((interval) => ({ symbol, interval })));
      return series.map((one) => this.session.candles.follow(one, history, sink));
    });
  }

  /**
   * The latest prices, the current one first. Of each symbol only the latest waits to be read. `'*'` is every known symbol.
   * Begins, ends and fails as {@link CandlewireClient.candles}.
   */
  prices(symbols: string | readonly string[], options: PricesOptions = {}): AsyncIterable<PriceUpdate> {
    const { signal, onLeftOut } = options;
    const named = priceSymbols(symbols);
    const begin = (
      queue: ConflatedQueue<PriceUpdate, PriceUpdate>,
      error: (err: CandlewireError) => void,
    ): Subscription => {
      const price = (one: PriceUpdate) => queue.put(one.symbol, one);
      return this.followPrices(named, { price, ...(onLeftOut && { leftOut: onLeftOut }), error });
    };
    return this.loop(begin, (price) => price, Number.POSITIVE_INFINITY, signal);
  }

  /** The same by events. */
  followPrices(
    symbols: string | readonly string[],
    handlers: PriceHandlers,
    options: { readonly signal?: AbortSignal } = {},
  ): Subscription {
    const named = priceSymbols(symbols);
    return this.subscribe(named, options.signal, handlers, (tell, failed) => {
      const sink = { price: (price: PriceUpdate) => tell(() => handlers.price?.(price)), failed };
      return named.map((symbol) => this.session.prices.follow(symbol, sink));
    });
  }

  /** Ends everything: loops end, handlers hear no more, no timer and no connection is left. HTTP calls under way go on. */
  close(): void {
    this.session.close();
    for (const close of [...this.closers]) close();
  }

  private subscribe(
    symbols: readonly string[],
    signal: AbortSignal | undefined,
    handlers: Pick<CandleHandlers, 'leftOut' | 'state' | 'error'>,
    begin: (tell: (act: () => void) => void, failed: (error: CandlewireError) => void) => readonly (() => void)[],
  ): Subscription {
    this.session.assertUsable();
    if (signal?.aborted) return { close() {} };
    let isOpen = true;
    /** A handler that throws is nobody else's trouble: its error goes where those without an owner go. */
    const tell = (act: () => void) => {
      try {
        if (isOpen) act();
      } catch (err) {
        uncaught(err);
      }
    };
    const state = (now: LinkState) => tell(() => handlers.state?.(now));
    this.session.stateListeners.add(state);
    let told: CandlewireError | undefined;
    const ends = begin(tell, (error) => {
      if (error === told) return; // The end of the connection is the end of each series.
      told = error;
      tell(() => (handlers.error ? handlers.error(error) : uncaught(error)));
    });
    const unfollow = this.session.leftOut.follow(symbols, (event) => tell(() => handlers.leftOut?.(event)));
    const close = () => {
      if (!isOpen) return;
      isOpen = false;
      unfollow();
      this.session.stateListeners.delete(state);
      this.closers.delete(close);
      signal?.removeEventListener('abort', close);
      for (const end of ends) end();
    };
    this.closers.add(close);
    signal?.addEventListener('abort', close, { once: true });
    state(this.session.state);
    return { close };
  }

  /** An iterable each loop over which follows anew, through a queue. */
  private loop<Event, Row>(
    begin: (queue: ConflatedQueue<Event, Row>, error: (err: CandlewireError) => void) => Subscription,
    row: (event: Event) => Row,
    waitingMax: number,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Row> {
    const start = (): ConflatedQueue<Event, Row> => {
      const queue = new ConflatedQueue<Event, Row>(waitingMax, row);
      if (signal?.aborted) {
        queue.abort(signal.reason);
        return queue;
      }
      const subscription = begin(queue, (error) => queue.finish({ error }));
      const close = () => queue.finish({});
      const abort = () => queue.abort(signal?.reason);
      this.closers.add(close);
      signal?.addEventListener('abort', abort, { once: true });
      queue.onEnd = () => {
        this.closers.delete(close);
        signal?.removeEventListener('abort', abort);
        subscription.close();
      };
      return queue;
    };
    return { [Symbol.asyncIterator]: start };
  }
}

function parseQuery({ symbols, intervals = '1m', history = 0 }: FollowQuery): {
  readonly symbols: readonly string[];
  readonly intervals: readonly Interval[];
  readonly history: number;
} {
  return {
    symbols: listOf<string>(symbols, symbolOf, 'symbols'),
    intervals: listOf<Interval>(intervals, intervalOf, 'intervals'),
    history: historyOf(history),
  };
}

function priceSymbols(symbols: string | readonly string[]): readonly string[] {
  return listOf<string>(symbols, (symbol) => (symbol === '*' ? symbol : symbolOf(symbol)), 'symbols');
}

function dispatch(handlers: CandleHandlers, event: SeriesEvent): void {
  if (event.type === 'candle') handlers.candle?.(event);
  else if (event.type === 'snapshot') handlers.snapshot?.(event);
  else if (event.type === 'reset') handlers.reset?.(event);
  else handlers.skipped?.(event);
}

function uncaught(err: unknown): void {
  queueMicrotask(() => {
    throw err;
  });
}

function socketUrl(base: string | URL): string {
  const url = new URL(base);
  if (!/^https?:$/.test(url.protocol)) throw invalid(`url: must be http:// or https://, not ${url.protocol}//`);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.pathname = `${url.pathname.replace(/\/$/, '')}/ws`;
  return url.href;
}
