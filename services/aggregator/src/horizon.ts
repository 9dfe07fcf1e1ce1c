import { horizonOf, type Rules } from '@candlewire/candles';
import type { Claim, Store } from '@candlewire/store';
import { Fenced } from './owner';

export interface HorizonDeps {
  readonly store: Pick<Store, 'moveHorizon'>;
  readonly rules: Rules;
  /** Days before the journal's current one whose minutes are kept; null or absent: all. */
  readonly retentionDays?: number | null;
  /** The horizon is stored: what lies before it may be deleted. */
  readonly onHorizon?: () => void;
}

/**
 * From when on a partition's minutes are kept: bars before it are refused, minutes before it may be deleted. It follows
 * from the clocks of the journal, never falls, and is stored before either can be seen.
 */
export class Horizon {
  private stored: number | null;
  /** The horizon of a day, which most clocks share. */
  private ofDay = { day: Number.NaN, horizon: 0 };

  constructor(
    private readonly claim: Claim,
    private readonly deps: HorizonDeps,
  ) {
    this.stored = claim.horizon;
  }

  /** epoch ms; null: all minutes are kept. */
  get current(): number | null {
    return this.stored;
  }

  /** To be called once, before anything is read: a predecessor may have stored the clock and died before the horizon that follows from it. */
  async takeOver(): Promise<void> {
    if (this.stored !== null) this.deps.onHorizon?.();
    await this.moveTo(this.at(this.claim.clock ?? Number.NEGATIVE_INFINITY, this.stored));
  }

  /** Where it is by this clock, never earlier than `known`. Moves nothing. */
  readonly at = (clock: number, known: number | null): number | null => {
    const { retentionDays = null, rules } = this.deps;
    if (retentionDays === null || clock === Number.NEGATIVE_INFINITY) return known;
    const day = rules.calendar.openTimeOf('1d', clock);
    if (this.ofDay.day !== day) this.ofDay = { day, horizon: horizonOf(clock, retentionDays, rules.calendar) };
    return Math.max(this.ofDay.horizon, known ?? Number.NEGATIVE_INFINITY);
  };

  /**
   * To be called after the commit that moved the clock: moved before it, bars of that very batch would be refused where
   * it has to be read again.
   * @throws Fenced
   */
  async moveTo(to: number | null): Promise<void> {
    if (to === null || to === this.stored) return;
    const { partition, fence } = this.claim;
    const moved = await this.deps.store.moveHorizon(partition, fence, to);
    if (moved === null) throw new Fenced(partition);
    this.stored = moved;
    this.deps.onHorizon?.();
  }
}
