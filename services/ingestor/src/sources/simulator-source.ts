import type { MarketCalendar } from '@candlewire/candles';
import { type Bar, MINUTE_MS, type Tick } from '@candlewire/contracts';
import type { Time } from '../time';
import { createSimulatedMarket, SETTLED_AFTER_MS } from './simulated-market';
import type { Delivery, HistoryPage, Source } from './source';

const SECOND_MS = 1_000;
/** Bars in one delivery: enough to make a round trip worth while, few enough to hold. */
const DELIVERY_BARS_MAX = 4_000;
/** Seconds that a stream which fell behind makes good in one delivery. */
const DELIVERY_SECONDS_MAX = 600;
const PAGE_BARS_MAX = 1_000;
/** Seven pages: enough that the work on a range is more than its book-keeping. */
const HISTORY_DAYS_AT_ONCE = 5;

export interface SimulatorOptions {
  /** Another seed is another market. */
  readonly seed: number;
  readonly calendar: MarketCalendar;
  /** What to deliver; asked for each second, so that it may change. */
  readonly symbols: () => readonly string[];
  readonly time: Time;
}

/**
 * The simulated market ({@link createSimulatedMarket}) as a source. What falls due in a second follows from the second
 * alone, so one that is started again goes on as if it had never been away: with updated, late and corrected bars of
 * minutes before its start too. What fell due while it was away is for `history`, which tells the truth of every minute
 * that is over. A reader that was slow gets all that it missed, with the clock as it was then.
 */
export function createSimulatorSource({ seed, calendar, symbols, time }: SimulatorOptions): Source {
  const market = createSimulatedMarket({ seed, calendar });
  const secondOf = (ms: number) => Math.floor(ms / SECOND_MS) * SECOND_MS;
  // At most a second: a clock that was set back is looked at again.
  const nextSecond = (after: number, signal: AbortSignal) =>
    time.pause(Math.min(Math.max(after + SECOND_MS - time.now(), 0), SECOND_MS), signal);

  async function* live(signal: AbortSignal): AsyncGenerator<Delivery> {
    /** All that was due up to here has been delivered. */
    let told = secondOf(time.now()) - SECOND_MS;
    yield { clock: null, bars: [], state: 'live' };
    while (!signal.aborted) {
      const until = Math.min(secondOf(time.now()), told + DELIVERY_SECONDS_MAX * SECOND_MS);
      if (until <= told) {
        await nextSecond(told, signal);
        continue;
      }
      let bars: Bar[] = [];
      for (; told < until; told += SECOND_MS) {
        for (const symbol of symbols()) {
          bars.push(...market.due(symbol, told + SECOND_MS));
          if (bars.length < DELIVERY_BARS_MAX) continue;
          yield { clock: told, bars };
          if (signal.aborted) return;
          bars = [];
        }
      }
      yield { clock: told, bars };
    }
  }

  async function* ticks(signal: AbortSignal): AsyncGenerator<Tick> {
    let told = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const second = secondOf(time.now());
      if (second <= told) {
        await nextSecond(told, signal);
        continue;
      }
      told = second;
      for (const symbol of symbols()) {
        const tick = market.tick(symbol, second);
        if (tick === null) continue;
        yield { symbol, price: tick.price, time: second, volume: tick.volume };
        if (signal.aborted) return;
      }
    }
  }

  async function* history(symbol: string, from: number, to: number, signal: AbortSignal): AsyncGenerator<HistoryPage> {
    let minuteMs = Math.ceil(from / MINUTE_MS) * MINUTE_MS;
    for (let isOver = false; !isOver; ) {
      const now = time.now();
      const bars: Bar[] = [];
      const isThere = () => minuteMs < to && minuteMs + MINUTE_MS <= now;
      for (; bars.length < PAGE_BARS_MAX && isThere(); minuteMs += MINUTE_MS) {
        const bar = market.trueBar(symbol, minuteMs);
        if (bar !== null) bars.push(bar);
      }
      isOver = !isThere();
      if (signal.aborted) return;
      yield { bars, answeredTo: Math.min(minuteMs, to) };
    }
  }

  return {
    kind: 'simulator',
    calendar: calendar.kind,
    refused: {},
    live,
    ticks,
    history,
    historyDaysAtOnce: HISTORY_DAYS_AT_ONCE,
    settledAfterMs: SETTLED_AFTER_MS,
  };
}
