import type { MarketCalendar } from '@candlewire/candles';
import { MINUTE_MS } from '@candlewire/contracts';
import type { Timings } from './timings';

/** Symbols in one question; it is a query string. */
const ASKED_MAX = 200;

export interface RollCallOptions {
  readonly calendar: MarketCalendar;
  readonly timings: Pick<Timings, 'missedMs' | 'errorMs'>;
  /** The feed is so far behind the market. */
  readonly delayMs: number;
}

/**
 * Finds out what the stream does not bring: a minute without a bar may have had no trade, but the REST API knows. Once a
 * minute those symbols are asked about of which the last minute did not come, in turns where they are many. A bar that is
 * there and did not come was missed, and nothing is certain of its symbol since the last one that came.
 */
export interface RollCall {
  /** A live bar came. Hot. */
  arrived(symbol: string, openTime: number): void;
  /** A connection is live from now on. */
  began(now: number): void;
  /** Whom to ask about now; nobody, mostly. @param flowing what is subscribed */
  due(flowing: readonly string[], now: number): readonly string[];
  /**
   * @param newest the last minute of which there is a bar, by symbol
   * @returns those of them that were missed
   */
  answered(newest: ReadonlyMap<string, number>): ReadonlyMap<string, number>;
  /** There was no answer: the same is asked again soon. */
  failed(now: number): void;
  /** What was missed since the last call, by symbol, each with the first minute that is uncertain. */
  takeMissed(): ReadonlyMap<string, number>;
}

interface Presence {
  /** The first minute that should have come; before it nobody listened. */
  readonly since: number;
  newest: number;
}

const NOBODY: readonly string[] = [];
const minuteOf = (ms: number) => ms - (ms % MINUTE_MS);

export function createRollCall({ calendar, timings, delayMs }: RollCallOptions): RollCall {
  let present = new Map<string, Presence>();
  let missed = new Map<string, number>();
  /** The last minute that was looked at: all bars of it should have come. */
  let minute = Number.NEGATIVE_INFINITY;
  let askAt = Number.POSITIVE_INFINITY;
  let turn = 0;

  function note(symbol: string, from: number): void {
    missed.set(symbol, Math.min(from, missed.get(symbol) ?? from));
  }

  /** Of those that flow, what is known of them; the others are forgotten, and may have missed their last minute. */
  function call(flowing: readonly string[], now: number): void {
    // Who begins to flow now has all of the next minute.
    const since = minuteOf(now - delayMs) + MINUTE_MS;
    const called = new Map<string, Presence>();
    for (const symbol of flowing) {
      called.set(symbol, present.get(symbol) ?? { since, newest: Number.NEGATIVE_INFINITY });
    }
    for (const symbol of present.keys()) {
      if (!called.has(symbol)) note(symbol, minuteOf(now - delayMs - timings.missedMs));
    }
    present = called;
  }

  return {
    arrived(symbol, openTime) {
      const one = present.get(symbol);
      if (one !== undefined && openTime > one.newest) one.newest = openTime;
    },
    began(now) {
      present.clear();
      minute = minuteOf(now - delayMs);
      askAt = Number.POSITIVE_INFINITY;
    },
    due(flowing, now) {
      const last = minuteOf(now - delayMs - timings.missedMs) - MINUTE_MS;
      if (last > minute || flowing.length !== present.size) call(flowing, now);
      if (last > minute) {
        minute = last;
        askAt = now;
        turn++;
      }
      if (now < askAt) return NOBODY;
      askAt = Number.POSITIVE_INFINITY;
      if (calendar.statusOf(minute) === 'closed') return NOBODY;
      const absent = flowing.filter((symbol) => {
        const { since, newest } = present.get(symbol)!;
        return since <= minute && newest < minute;
      });
      if (absent.length <= ASKED_MAX) return absent;
      const from = (turn * ASKED_MAX) % absent.length;
      return [...absent, ...absent].slice(from, from + ASKED_MAX);
    },
    answered(newest) {
      const found = new Map<string, number>();
      for (const [symbol, openTime] of newest) {
        const one = present.get(symbol);
        // What is newer than the minute in question may be under way.
        if (one === undefined || openTime > minute || openTime < one.since || openTime <= one.newest) continue;
        note(symbol, Math.max(one.since, one.newest + MINUTE_MS));
        one.newest = openTime;
        found.set(symbol, openTime);
      }
      return found;
    },
    failed(now) {
      askAt = now + timings.errorMs;
    },
    takeMissed() {
      const taken = missed;
      missed = new Map();
      return taken;
    },
  };
}
