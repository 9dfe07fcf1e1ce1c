import type { MarketCalendar } from '@candlewire/candles';
import { MINUTE_MS } from '@candlewire/contracts';
import type { Timings } from './timings';

/** Symbols in one question; it is a query string. */
const ASKED_MAX = 200;

export interface RollCallOptions {
  readonly calendar: MarketCalendar;
  readonly timings: Pick<Timings, 'missedMs'>;
  /** The feed is so far behind the market. */
  readonly delayMs: number;
}

/**
 * Finds out what the stream does not bring: a minute without a bar may have had no trade, but the REST API knows. Once a
 * minute those symbols are asked about of which the last minute did not come, in turns where they are many. A bar that is
 * there and did not come was missed, and from the last one that came on nothing is certain of its symbol, until the next
 * does.
 */
export interface RollCall {
  /** A live bar came. Hot. */
  arrived(symbol: string, openTime: number): void;
  /** A connection is live from now on. */
  began(now: number): void;
  /** Whom to ask about now; nobody, mostly: then it is the same empty array. @param flowing what is subscribed */
  due(flowing: readonly string[], now: number): readonly string[];
  /**
   * @param newest the last minute of which there is a bar, by symbol
   * @returns the newest one that was missed; null: none was
   */
  answered(newest: ReadonlyMap<string, number>): number | null;
  /** Symbols of which a bar was missed, with the first minute that is uncertain. The same map, as it goes on. */
  missed(): ReadonlyMap<string, number>;
}

interface Presence {
  /** The first minute that should have come; before it nobody listened. */
  since: number;
  newest: number;
}

const NOBODY: readonly string[] = [];

export function createRollCall({ calendar, timings, delayMs }: RollCallOptions): RollCall {
  let present = new Map<string, Presence>();
  const missed = new Map<string, number>();
  /** The last minute that was looked at: all bars of it should have come. */
  let minute = Number.NEGATIVE_INFINITY;
  let turn = 0;

  /** Who begins to flow now has all of the next minute. */
  const nextMinute = (now: number) => Math.floor((now - delayMs) / MINUTE_MS + 1) * MINUTE_MS;

  /** Of those that flow, what is known of them; the others are forgotten. */
  function call(flowing: readonly string[], since: number): void {
    const called = new Map<string, Presence>();
    for (const symbol of flowing) {
      called.set(symbol, present.get(symbol) ?? { since, newest: Number.NEGATIVE_INFINITY });
    }
    present = called;
    for (const symbol of missed.keys()) if (!called.has(symbol)) missed.delete(symbol);
  }

  return {
    arrived(symbol, openTime) {
      const one = present.get(symbol);
      if (one === undefined || openTime <= one.newest) return;
      one.newest = openTime;
      if (missed.size > 0) missed.delete(symbol);
    },
    began(now) {
      present.clear();
      missed.clear();
      minute = nextMinute(now) - MINUTE_MS;
    },
    due(flowing, now) {
      const last = Math.floor((now - delayMs - timings.missedMs) / MINUTE_MS - 1) * MINUTE_MS;
      const isNew = flowing.length !== present.size;
      if (last <= minute && !isNew) return NOBODY;
      call(flowing, nextMinute(now));
      if (last <= minute) return NOBODY;
      minute = last;
      if (calendar.statusOf(minute) === 'closed') return NOBODY;
      const absent = flowing.filter((symbol) => {
        const { since, newest } = present.get(symbol)!;
        return since <= minute && newest < minute;
      });
      if (absent.length <= ASKED_MAX) return absent;
      const from = (turn++ * ASKED_MAX) % absent.length;
      return [...absent, ...absent].slice(from, from + ASKED_MAX);
    },
    answered(newest) {
      let newestMissed: number | null = null;
      for (const [symbol, openTime] of newest) {
        const one = present.get(symbol);
        // What is newer than the minute in question may be under way.
        if (one === undefined || openTime > minute || openTime < one.since || openTime <= one.newest) continue;
        missed.set(symbol, Math.max(one.since, one.newest + MINUTE_MS));
        newestMissed = Math.max(newestMissed ?? openTime, openTime);
      }
      return newestMissed;
    },
    missed: () => missed,
  };
}
