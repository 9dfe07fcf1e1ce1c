import { setImmediate as socketsRead } from 'node:timers/promises';
import type { MarketCalendar } from '@candlewire/candles';
import { type FeedState, MINUTE_MS, type Tick } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Time } from '../../time';
import type { Delivery, Source } from '../source';
import { createHistory } from './history';
import { createLatest } from './latest';
import { createLivenessWatch } from './liveness';
import { createRespite } from './respite';
import { type OpenStream, openStream } from './sdk-stream';
import { createSession, type Session } from './session';
import type { AlpacaSettings } from './settings';
import { createSubscriptions, type StreamChannel } from './subscriptions';
import { TIMINGS, type Timings } from './timings';
import { createTradeTicks } from './trade-ticks';

const DELIVERY_BARS_MAX = 4_000;
const HELD_BARS_MAX = 200_000;
/** An updated bar comes half a minute after its minute; what is corrected later is fetched after the close. */
const SETTLED_AFTER_MS = 2 * MINUTE_MS;
/** New York days of one symbol in a page of 10,000 bars. */
const HISTORY_DAYS_AT_ONCE = 10;
const DELAYED_MS = 15 * MINUTE_MS;
/** Symbols named in a line of the log. */
const LOGGED_MAX = 50;

export interface AlpacaSourceOptions {
  readonly settings: AlpacaSettings;
  readonly calendar: MarketCalendar;
  /** What to deliver, the most important first; another array where it changes. */
  readonly symbols: () => readonly string[];
  readonly time: Time;
  readonly logger: Logger;
  /** Below: for tests. */
  readonly timings?: Timings;
  readonly random?: () => number;
  readonly open?: OpenStream;
  readonly heldBarsMax?: number;
}

/**
 * Alpaca's market data: minute bars, their updates, and trades as ticks from the stream; history from the REST API.
 *
 * One connection is kept for as long as somebody reads `live`. The clock is the wall clock, less the delay of the feed, while the connection is live and
 * nothing is overdue on it, and withheld otherwise: an outage makes nothing final.
 */
export function createAlpacaSource(options: AlpacaSourceOptions): Source {
  const { settings, calendar, symbols, time, logger, timings = TIMINGS, random = Math.random } = options;
  const { keyId, secret, feed } = settings;
  const channels: StreamChannel[] = ['bars', 'updatedBars', ...(settings.trades ? (['trades'] as const) : [])];
  const refused: Record<string, number> = {};
  const trades = createTradeTicks();
  /** The feed, and so its clock, is so far behind the market. */
  const delayMs = feed === 'delayed_sip' ? DELAYED_MS : 0;
  const liveness = createLivenessWatch({ calendar, timings, delayMs });
  const subscriptions = createSubscriptions({ ...timings, max: settings.symbolsMax, channels });
  // Of the test feed's symbol the REST API knows nothing.
  const rest = { keyId, secret, url: settings.dataUrl, time, respite: createRespite(time) };
  const latest = feed === 'test' ? null : createLatest({ ...rest, feed });
  const logUnasked = boundedLog(logger, 'the newest bars are not to be had', { first: 1 });
  let session: Session | null = null;
  let isAsking = false;
  let leftOut = '';

  function onRefused(reason: string): void {
    refused[reason] = (refused[reason] ?? 0) + 1;
  }

  function noteLeftOut(): void {
    const names = subscriptions.leftOut();
    if (names.join() === leftOut) return;
    leftOut = names.join();
    if (names.length === 0) logger.info('no symbol is left out any more');
    else
      logger.warn('symbols left out', {
        max: settings.symbolsMax,
        count: names.length,
        symbols: names.slice(0, LOGGED_MAX),
      });
  }

  /** Asks, once a minute, about what should have come and did not. What is not answered is asked again. */
  function rollCall(now: number, signal: AbortSignal): void {
    if (latest === null || isAsking || session?.state() !== 'live') return;
    const symbols = liveness.asks(subscriptions.flowing(), now);
    if (symbols.length === 0) return;
    const answered = (newest: ReadonlyMap<string, number>) => {
      isAsking = false;
      const missed = liveness.answered(newest);
      if (missed.length === 0) return;
      logger.warn('bars did not come', { count: missed.length, symbols: missed.slice(0, LOGGED_MAX) });
    };
    const failed = (err: unknown) => {
      isAsking = false;
      liveness.unanswered(time.now());
      if (!signal.aborted) logUnasked({ err });
    };
    isAsking = true;
    latest(symbols, signal).then(answered, failed);
  }

  async function* live(signal: AbortSignal): AsyncGenerator<Delivery> {
    const own = createSession({
      connection: { url: settings.streamUrl, keyId, secret },
      subscriptions,
      liveness,
      onTrade: trades.traded,
      onRefused,
      open: options.open ?? openStream,
      heldMax: options.heldBarsMax ?? HELD_BARS_MAX,
      timings,
      random,
      time,
      logger,
    });
    session = own;
    const deliveries = createDeliveries(own);
    const ended = new AbortController();
    try {
      while (!signal.aborted) {
        const now = time.now();
        // What lay in the sockets by now counts as having arrived by now.
        await socketsRead();
        subscriptions.want(symbols());
        own.look(now);
        noteLeftOut();
        rollCall(now, ended.signal);
        for (const delivery of deliveries(now)) {
          yield delivery;
          if (signal.aborted) return;
        }
        await own.something(signal);
      }
    } finally {
      session = null;
      ended.abort();
      await own.close();
    }
  }

  /** What there is to say at a moment; nothing, mostly. */
  function createDeliveries(own: Session): (now: number) => Generator<Delivery> {
    let state: FeedState = 'connecting';
    let reason: string | null = null;
    let clock: number | null = null;
    /** The newest that was told: a wall clock may be set back. */
    let newest = Number.NEGATIVE_INFINITY;
    let toldAt = Number.NEGATIVE_INFINITY;

    function clockAt(now: number): number | null {
      if (state !== 'live' || liveness.judge(subscriptions.flowing(), now) !== 'well') return null;
      newest = Math.max(newest, now - delayMs);
      return newest;
    }

    return function* deliveries(now) {
      const isChanged = own.state() !== state || own.reason() !== reason;
      state = own.state();
      reason = own.reason();
      // Said again, it means: from now on, and something before may be missing.
      if (isChanged || (state === 'live' && own.hasLost(now))) {
        clock = null;
        yield { clock, bars: [], state, ...(reason !== null && { reason }) };
      }
      const bars = own.take();
      // All of them arrived before the clock that comes with the last.
      let at = 0;
      for (; bars.length - at > DELIVERY_BARS_MAX; at += DELIVERY_BARS_MAX) {
        yield { clock, bars: bars.slice(at, at + DELIVERY_BARS_MAX) };
      }
      const next = clockAt(now);
      const isDue = (next === null) !== (clock === null) || (next !== null && now - toldAt >= timings.clockMs);
      if (bars.length === 0 && !isDue) return;
      clock = next;
      toldAt = now;
      yield { clock, bars: at === 0 ? bars : bars.slice(at) };
    };
  }

  async function* ticks(signal: AbortSignal): AsyncGenerator<Tick> {
    while (!signal.aborted) {
      await trades.some(signal);
      for (const tick of trades.take()) {
        yield tick;
        if (signal.aborted) return;
      }
    }
  }

  const history = createHistory({ ...rest, onRefused });
  return {
    kind: 'alpaca',
    calendar: calendar.kind,
    refused,
    live,
    ...(settings.trades && { ticks }),
    ...(feed !== 'test' && { history }),
    historyDaysAtOnce: HISTORY_DAYS_AT_ONCE,
    // The roll call.
    otherRequestsPerMin: latest === null ? 0 : 1,
    settledAfterMs: SETTLED_AFTER_MS,
    delivers: () => (session?.state() === 'live' ? subscriptions.flowing() : []),
    takeMissed: liveness.takeMissed,
    leftOut: subscriptions.leftOut,
  };
}
