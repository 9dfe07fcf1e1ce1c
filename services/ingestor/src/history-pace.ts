import { ENTRY_BARS_MAX, MINUTE_MS } from '@candlewire/contracts';
import type { Time } from './time';

/**
 * Where no live bars flow, history is appended by so many bars, while no more wait in its partition: a commit of many changes
 * the candles behind them once, several of few do so each time.
 */
const ALONE_BARS = 20 * ENTRY_BARS_MAX;
/** Live bars flow for so long after the last one. */
const FLOWING_MS = 5 * MINUTE_MS;
/** Beside them by so many, where fewer than the second number wait, of all partitions together. */
const BESIDE_BARS = 4 * ENTRY_BARS_MAX;
const BESIDE_WAITING_BARS = 100;
/**
 * While they come it rests for so many times as long as the last of it took. The live bars of all symbols feel it while it is
 * committed, so this is how one in a hundred does; what it costs is time, of which live bars leave most: they come in the
 * first seconds of a minute.
 */
const RESTS = 100;
/** What took long because nobody was there to commit it says nothing. */
const REST_MS_MAX = 20_000;
/** How often it is looked whether there is room; while an entry waits beside live bars, whose time is taken; while it rests. */
const LOOK_MS = 25;
const LOOK_BESIDE_MS = 10;
const LOOK_RESTING_MS = 200;
/** They come for so long after the last one, and around the end of each minute, from so long before it until so long after. */
const COMING_MS = 1_000;
const MINUTE_END_MS = { before: 250, after: 2_000 } as const;

/** When history may be appended to the journals, so that live bars need not wait for it. */
export class HistoryPace {
  private flowedAt = Number.NEGATIVE_INFINITY;
  /** When the last of it was appended beside live bars, while it waits; null: nothing does. */
  private besideAt: number | null = null;
  private restsUntil = Number.NEGATIVE_INFINITY;

  constructor(private readonly time: Pick<Time, 'now' | 'elapsedMs'>) {}

  /** Live bars were sent. */
  flowed(): void {
    this.flowedAt = this.time.elapsedMs();
  }

  /** History was appended. */
  appended(): void {
    this.besideAt = this.flows() ? this.time.elapsedMs() : null;
  }

  /** How many bars of history a partition may get now, where so many wait in it, and so many in all partitions together. */
  room(waiting: number, waitingInAll: number): number {
    if (!this.flows()) return waiting <= ALONE_BARS ? ALONE_BARS : 0;
    if (waitingInAll >= BESIDE_WAITING_BARS) return 0;
    const now = this.time.elapsedMs();
    if (this.besideAt !== null) {
      this.restsUntil = now + Math.min(REST_MS_MAX, RESTS * (now - this.besideAt));
      this.besideAt = null;
    }
    return now < this.restsUntil && this.comes() ? 0 : BESIDE_BARS;
  }

  /** After so long it is worth asking again. */
  lookMs(): number {
    if (!this.flows()) return LOOK_MS;
    return this.besideAt === null ? LOOK_RESTING_MS : LOOK_BESIDE_MS;
  }

  private flows(): boolean {
    return this.time.elapsedMs() - this.flowedAt < FLOWING_MS;
  }

  /** The end of a minute is the market's, by the wall clock. */
  private comes(): boolean {
    const { before, after } = MINUTE_END_MS;
    if (this.time.elapsedMs() - this.flowedAt < COMING_MS) return true;
    return (this.time.now() + before) % MINUTE_MS < before + after;
  }
}
