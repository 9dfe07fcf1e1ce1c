import type { MarketCalendar } from '@candlewire/candles';
import { MINUTE_MS } from '@candlewire/contracts';
import { createRollCall } from './roll-call';
import type { Timings } from './timings';

/** A symbol is liquid that had a bar in nearly every one of its last minutes. */
const WINDOW_MINUTES = 15;
const LIQUID_MINUTES = 14;
const WINDOW = 2 ** WINDOW_MINUTES - 1;
/** A silence that another connection did not end is no fault of connections: the next one is made after twice the time, up to so often. */
const PATIENCE_MAX = 16;

/**
 * - `well`: bars come, or none have to.
 * - `late`: bars of the last minute should have come, and have not. What is missing may be lost, so nothing may turn final.
 * - `stale`: they have not for so long that the connection has to be made anew.
 */
export type Liveness = 'well' | 'late' | 'stale';

export interface LivenessOptions {
  readonly calendar: MarketCalendar;
  readonly timings: Pick<Timings, 'lateMs' | 'staleMs' | 'missedMs' | 'errorMs'>;
  /** The feed is so far behind the market. */
  readonly delayMs?: number;
}

/**
 * Knows when silence is more than quiet. Of a minute that did not come the REST API can be asked ({@link createRollCall}): where it
 * has a bar, and nothing came since that was due, the connection is mute for certain. Where it cannot be asked, silence is
 * suspicious in the regular session, while a symbol is subscribed that used to have a bar in nearly every minute; what was
 * learned yesterday holds today. Where bars of any symbol come, the connection is well.
 */
export interface LivenessWatch {
  /** A live bar came, or (rev 1) an update of one. Hot. */
  arrived(symbol: string, openTime: number, rev: 0 | 1, now: number): void;
  /** A connection is live from now on. */
  began(now: number): void;
  /** Whom to ask the REST API about now; nobody, mostly. @param flowing what is subscribed */
  asks(flowing: readonly string[], now: number): readonly string[];
  /**
   * @param newest the last minute of which it has a bar, by symbol
   * @returns symbols of which that was missed
   */
  answered(newest: ReadonlyMap<string, number>): readonly string[];
  /** It did not answer. */
  unanswered(now: number): void;
  /** What was missed since the last call, by symbol, each with the first minute that is uncertain. */
  takeMissed(): ReadonlyMap<string, number>;
  /** @param flowing what is subscribed */
  judge(flowing: readonly string[], now: number): Liveness;
  /** The connection is ended, for it was stale. */
  gaveUp(): void;
}

interface Habit {
  last: number;
  /** A bit for each of the last minutes up to `last`, the lowest being that one. */
  minutes: number;
}

export function createLivenessWatch({ calendar, timings, delayMs = 0 }: LivenessOptions): LivenessWatch {
  const { lateMs, staleMs } = timings;
  const habits = new Map<string, Habit>();
  let lastAt = Number.NEGATIVE_INFINITY;
  let beganAt = Number.NEGATIVE_INFINITY;
  let patience = 1;
  /** When the newest bar was due that is known to have been missed. */
  let owedAt = Number.NEGATIVE_INFINITY;
  const rollCall = createRollCall({ calendar, timings, delayMs });

  const isLiquid = (symbol: string): boolean => {
    const habit = habits.get(symbol);
    return habit !== undefined && bitsOf(habit.minutes) >= LIQUID_MINUTES;
  };
  const sameDay = (one: number, other: number): boolean =>
    calendar.openTimeOf('1d', one) === calendar.openTimeOf('1d', other);
  const isRegular = (now: number): boolean => calendar.statusOf(now - delayMs) === 'regular';

  return {
    arrived(symbol, openTime, rev, now) {
      lastAt = now;
      patience = 1;
      rollCall.arrived(symbol, openTime);
      // Of a minute in which only a late trade counts there is an update alone: that is no habit.
      if (rev !== 0) return;
      if (calendar.statusOf(openTime) !== 'regular') return;
      const habit = habits.get(symbol);
      if (habit === undefined) {
        habits.set(symbol, { last: openTime, minutes: 1 });
        return;
      }
      let passed = (openTime - habit.last) / MINUTE_MS;
      if (passed <= 0) return;
      // Minutes that nobody listened in, or of no session, say nothing of the symbol.
      if (habit.last + delayMs < beganAt || (passed > WINDOW_MINUTES && !sameDay(habit.last, openTime))) passed = 1;
      habit.minutes = passed >= WINDOW_MINUTES ? 1 : ((habit.minutes << passed) | 1) & WINDOW;
      habit.last = openTime;
    },
    began(now) {
      beganAt = now;
      lastAt = Math.max(lastAt, now);
      rollCall.began(now);
    },
    asks: rollCall.due,
    answered(newest) {
      const missed = rollCall.answered(newest);
      for (const openTime of missed.values()) owedAt = Math.max(owedAt, openTime + MINUTE_MS + delayMs);
      return [...missed.keys()];
    },
    unanswered: rollCall.failed,
    takeMissed: rollCall.takeMissed,
    judge(flowing, now) {
      if (owedAt > lastAt) return now - lastAt >= (patience - 1) * staleMs ? 'stale' : 'late';
      const minuteEnd = now - (now % MINUTE_MS);
      const isDue = lastAt < minuteEnd && now - minuteEnd >= lateMs;
      const silentMs = now - lastAt;
      if (!isDue && silentMs < staleMs) return 'well';
      if (!isRegular(minuteEnd - 1) || !flowing.some(isLiquid)) return 'well';
      const patienceMs = staleMs * patience;
      // Bars may come only from the opening on.
      return silentMs >= patienceMs && isRegular(now - patienceMs) ? 'stale' : 'late';
    },
    gaveUp() {
      patience = Math.min(2 * patience, PATIENCE_MAX);
    },
  };
}

function bitsOf(mask: number): number {
  let count = 0;
  for (let left = mask; left !== 0; left &= left - 1) count++;
  return count;
}
