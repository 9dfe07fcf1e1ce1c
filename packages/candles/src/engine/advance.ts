import { type Bar, type Candle, INTERVALS, type Interval, type PriceUpdate } from '@candlewire/contracts';
import type { Answer, Need, SeriesChange } from '../needs';
import { reroll } from './reroll';
import { emit, headMinute, type Rolled, type RolledSeries, revises, rolledMinute } from './rolled';
import type { Rules, SymbolState } from './state';
import { type Walked, walk } from './walk';

/** What a batch made of a symbol. */
export interface Advanced {
  readonly series: readonly SeriesChange[];
  /** The price, if it is another. */
  readonly price: PriceUpdate | null;
  /** More candles turn final by this clock: call again, without bars. */
  readonly more: boolean;
}

/** Candles of a series that turn final in one go, beyond those that a batch touches; the rest waits for the next one. */
const FINAL_MAX = 2_000;

/**
 * Deliveries in, numbered candles out: revises minutes, rolls up every candle that holds them, computes the indicators of
 * those and of all later ones, and makes final what the clock has passed.
 *
 * Pure: knows nothing but its arguments and the answers to the needs that it yields, and changes only `state`, which then
 * equals what the store will hold once the changes are committed.
 *
 * @param bars deliveries in order; any number of them may be of the same minute
 * @param clock greatest clock so far, epoch ms; -Infinity while there is none
 */
export function* advance(
  state: SymbolState,
  bars: readonly Bar[],
  clock: number,
  rules: Rules,
): Generator<Need[], Advanced, Answer[]> {
  const minutes = newest(bars);
  const head = state.series['1m'].head;
  const split = head === null ? 0 : lowerBound(minutes, head.openTime);
  const rolled: RolledSeries = { '1m': new Map(), '5m': new Map(), '1h': new Map(), '1d': new Map() };
  if (split > 0) yield* reroll(state, minutes.slice(0, split), rules, rolled);
  append(state, minutes.slice(split), rules, rolled);

  const series: SeriesChange[] = [];
  let more = false;
  for (const interval of INTERVALS) {
    const standing = state.series[interval];
    const before = standing.head;
    const walked = yield* walk(state.symbol, standing, ascending(rolled[interval]), clock, rules);
    more = (yield* turnFinal(state, interval, before, walked, clock, rules)) || more;
    if (walked.changed.size === 0 && walked.touched.size === 0) continue;
    const seqBefore = standing.seq;
    const changed = ascending(walked.changed);
    for (const candle of changed) {
      candle.seq = ++standing.seq;
      candle.revision++;
    }
    series.push({ interval, seqBefore, seq: standing.seq, changed, touched: ascending(walked.touched) });
  }
  return { series, price: state.nextPrice(rules.calendar), more };
}

/** One bar for each minute, ascending: the greatest rev wins, of equal ones the last. */
function newest(bars: readonly Bar[]): Bar[] {
  const byMinute = new Map<number, Bar>();
  for (const bar of bars) {
    const known = byMinute.get(bar.openTime);
    if (known === undefined || bar.rev >= known.rev) byMinute.set(bar.openTime, bar);
  }
  return ascending(byMinute);
}

/**
 * Minutes from the head on: O(1) each. A 5m candle goes into the roll-ups of its hour and day when the next one begins;
 * until then it is folded on top of them, so that its last minute may be revised.
 */
function append(state: SymbolState, bars: readonly Bar[], { calendar }: Rules, rolled: RolledSeries): void {
  const { five, hour, day } = state;
  let head: Rolled | null = headMinute(state);
  for (const bar of bars) {
    if (head !== null && bar.openTime === head.openTime && !revises(bar, head)) continue;
    if (head !== null && bar.openTime > head.openTime) {
      const bucket = calendar.openTimeOf('5m', head.openTime);
      if (calendar.openTimeOf('5m', bar.openTime) === bucket) five.add(head.core);
      else {
        // The buckets that end here get their last state, unless they did not change at all in this batch.
        if (rolled['1m'].has(head.openTime) || rolled['5m'].has(bucket)) emit(state, head, calendar, rolled);
        const ended = five.with(head.core)!;
        five.clear();
        hour.add(ended);
        day.add(ended);
        if (calendar.openTimeOf('1h', bar.openTime) !== calendar.openTimeOf('1h', head.openTime)) hour.clear();
        if (calendar.openTimeOf('1d', bar.openTime) !== calendar.openTimeOf('1d', head.openTime)) day.clear();
      }
    }
    head = rolledMinute(bar, calendar.statusOf(bar.openTime));
    rolled['1m'].set(bar.openTime, head);
  }
  if (head !== null && rolled['1m'].has(head.openTime)) emit(state, head, calendar, rolled);
}

/**
 * Makes final what the clock has passed and the walk did not meet: the head, and open candles before it.
 * @returns whether some of the latter wait for another call
 */
function* turnFinal(
  state: SymbolState,
  interval: Interval,
  before: Candle | null,
  walked: Walked,
  clock: number,
  { calendar, graceMs }: Rules,
): Generator<Need[], boolean, Answer[]> {
  const series = state.series[interval];
  const isDue = (openTime: number) => clock >= calendar.closeTimeOf(interval, openTime) + graceMs;
  const finish = (candle: Candle): Candle => {
    const done = { ...candle, final: true };
    walked.touched.delete(candle.openTime);
    walked.changed.set(candle.openTime, done);
    return done;
  };
  if (series.head !== null && !series.head.final && isDue(series.head.openTime)) series.head = finish(series.head);

  let more = false;
  let open = Number.POSITIVE_INFINITY;
  if (series.firstOpen !== null) {
    if (!isDue(series.firstOpen)) open = series.firstOpen;
    else {
      const [answer] = yield [
        { kind: 'open', symbol: state.symbol, interval, before: before!.openTime, limit: FINAL_MAX + 1 },
      ];
      const candles = answer as readonly Candle[];
      for (const candle of candles.slice(0, FINAL_MAX)) {
        if (!isDue(candle.openTime)) {
          open = candle.openTime;
          break;
        }
        // One that the walk changed is final already.
        if (!walked.changed.has(candle.openTime)) finish(walked.touched.get(candle.openTime) ?? candle);
      }
      const rest = candles[FINAL_MAX];
      if (rest !== undefined && open > rest.openTime) {
        open = rest.openTime;
        more = isDue(open);
      }
    }
  }
  // What the walk left open before the head, and the old head where it is no longer the head.
  const head = series.head?.openTime ?? Number.POSITIVE_INFINITY;
  for (const candle of walked.changed.values()) {
    if (!candle.final && candle.openTime < head) open = Math.min(open, candle.openTime);
  }
  if (before !== null && before.openTime < head && !before.final && !isDue(before.openTime))
    open = Math.min(open, before.openTime);
  series.firstOpen = Number.isFinite(open) ? open : null;
  return more;
}

function ascending<T extends { readonly openTime: number }>(byTime: ReadonlyMap<number, T>): T[] {
  return [...byTime.values()].sort((a, b) => a.openTime - b.openTime);
}

function lowerBound(minutes: readonly Bar[], openTime: number): number {
  let low = 0;
  for (let high = minutes.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (minutes[middle]!.openTime < openTime) low = middle + 1;
    else high = middle;
  }
  return low;
}
