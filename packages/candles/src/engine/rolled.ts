import type { Bar, Interval } from '@candlewire/contracts';
import type { Core } from './fold';
import type { Rules, SymbolState } from './state';

/** A candle of a series that was rolled up anew. */
export interface Rolled {
  readonly openTime: number;
  readonly core: Core;
  /** Source revision of a minute, else 0. */
  readonly rev: number;
}

/** Candles rolled up anew, by openTime. */
export type RolledSeries = Readonly<Record<Interval, Map<number, Rolled>>>;

/** The forming 5m, 1h and 1d candles with `head` as their last minute. */
export function emit(
  { five, hour, day }: SymbolState,
  head: Rolled,
  calendar: Rules['calendar'],
  rolled: RolledSeries,
): void {
  const core = five.with(head.core)!;
  put(rolled, '5m', calendar.openTimeOf('5m', head.openTime), core);
  put(rolled, '1h', calendar.openTimeOf('1h', head.openTime), hour.with(core));
  put(rolled, '1d', calendar.openTimeOf('1d', head.openTime), day.with(core));
}

export function put(rolled: RolledSeries, interval: Interval, openTime: number, core: Core | null): void {
  if (core !== null) rolled[interval].set(openTime, { openTime, core, rev: 0 });
}

export function rolledMinute(bar: Bar, status: Core['status']): Rolled {
  const { openTime, open, high, low, close, volume, vwap, tradeCount, rev } = bar;
  return { openTime, core: { open, high, low, close, volume, vwap, tradeCount, status }, rev };
}

/** The newest minute as the store knows it. */
export function headMinute(state: SymbolState): Rolled | null {
  const head = state.series['1m'].head;
  return head === null ? null : { openTime: head.openTime, core: head, rev: head.rev };
}

/** Whether a delivery replaces what is known of its minute: its rev is as great, and something differs. */
export function revises(bar: Bar, known: { readonly core: Core; readonly rev: number }): boolean {
  const { core, rev } = known;
  if (bar.rev < rev) return false;
  return (
    bar.rev > rev ||
    bar.open !== core.open ||
    bar.high !== core.high ||
    bar.low !== core.low ||
    bar.close !== core.close ||
    bar.volume !== core.volume ||
    bar.vwap !== core.vwap ||
    bar.tradeCount !== core.tradeCount
  );
}
