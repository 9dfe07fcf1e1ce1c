import { type Candle, INTERVALS, type Interval } from '@candlewire/contracts';
import { IndicatorState } from '../indicators/indicator-state';
import type { Answer, Need, Past, SeriesChange, SymbolSnapshot } from '../needs';
import { fold, group } from './reroll';
import { put, type Rolled, type RolledSeries } from './rolled';
import { DAY_CANDLES_MAX, type Rules } from './state';
import { candleOf, looksSame } from './walk';

/** All that a candle's minutes and the candles before it determine. Of a minute the bar itself is what everything follows from. */
const FIELDS = [
  ...(['open', 'high', 'low', 'close', 'volume', 'vwap', 'tradeCount', 'status'] as const),
  ...(['rsi', 'avgGain', 'avgLoss', 'avgRange', 'ma40', 'ma80', 'ma160', 'final', 'rev'] as const),
];
type Field = (typeof FIELDS)[number];
type Value = Candle[Field];

/** A candle that is stored otherwise than its minutes say. */
export interface Difference {
  readonly interval: Interval;
  readonly openTime: number;
  /** Not stored though it should be; stored though it should not be; stored with other values. */
  readonly kind: 'missing' | 'extra' | 'different';
  /** The values that differ, as stored and as computed; none where the candle is missing or extra. */
  readonly fields: Readonly<Partial<Record<Field, readonly [stored: Value, computed: Value]>>>;
}

/** What the rebuild of one New York day of a symbol came to. */
export interface RebuiltDay {
  /** Where the next day to be looked at begins at the earliest. */
  readonly next: number;
  /** Candles that were computed and compared. */
  readonly compared: number;
  /** By interval, each ascending. */
  readonly differences: readonly Difference[];
  /** What makes the store right. */
  readonly series: readonly SeriesChange[];
}

/**
 * Computes the candles of one New York day anew and compares them bit by bit with what is stored: the first day at or after
 * `from` that holds any candle. From the day's minutes follow their market status and the 5m candles, from these the 1h and
 * 1d candles, and from the candles before the day (which a rebuild has set right before) the indicators. A candle that
 * is final stays it.
 *
 * A day at a time, so that nobody waits for long: what later candles take from this day is compared when theirs comes.
 *
 * @param from a New York midnight, or -Infinity
 * @returns null where nothing is stored from there on: the symbol is done
 */
export function* rebuildDay(
  symbol: string,
  from: number,
  clock: number,
  rules: Rules,
): Generator<Need[], RebuiltDay | null, Answer[]> {
  const { calendar } = rules;
  const [snapshot, ...firsts] = (yield [
    { kind: 'symbol', symbol },
    ...INTERVALS.map((interval): Need => {
      return { kind: 'candles', symbol, interval, from, to: Number.POSITIVE_INFINITY, limit: 1 };
    }),
  ]) as [SymbolSnapshot, ...Candle[][]];
  const first = Math.min(...firsts.map(([candle]) => candle?.openTime ?? Number.POSITIVE_INFINITY));
  if (first === Number.POSITIVE_INFINITY) return null;

  const day = calendar.openTimeOf('1d', first);
  const next = calendar.nextDay(day);
  const answers = yield [
    ...INTERVALS.map((interval): Need => ({ kind: 'past', symbol, interval, before: day })),
    ...INTERVALS.map((interval): Need => {
      return { kind: 'candles', symbol, interval, from: day, to: next, limit: DAY_CANDLES_MAX };
    }),
  ];
  const pasts = answers.slice(0, INTERVALS.length) as Past[];
  const stored = answers.slice(INTERVALS.length) as Candle[][];
  const rolled = rollUp(stored[0]!, day, rules);

  const differences: Difference[] = [];
  const series: SeriesChange[] = [];
  let compared = 0;
  for (const [i, interval] of INTERVALS.entries()) {
    const { seq } = snapshot[interval];
    const parts = [...rolled[interval].values()];
    const change = compare(interval, stored[i]!, parts, IndicatorState.from(pasts[i]!), seq, clock, rules, differences);
    compared += parts.length;
    if (change !== null) series.push(change);
  }
  return { next, compared, differences, series };
}

/** What the minutes of a day make, each ascending. */
function rollUp(minutes: readonly Candle[], day: number, { calendar }: Rules): RolledSeries {
  const rolled: RolledSeries = { '1m': new Map(), '5m': new Map(), '1h': new Map(), '1d': new Map() };
  for (const minute of minutes) {
    const { openTime, rev } = minute;
    rolled['1m'].set(openTime, { openTime, core: { ...minute, status: calendar.statusOf(openTime) }, rev });
  }
  const widen = (part: Interval, whole: Interval) => {
    for (const [openTime, parts] of group([...rolled[part].values()], (one) =>
      calendar.openTimeOf(whole, one.openTime),
    ))
      put(rolled, whole, openTime, fold(parts, false));
  };
  widen('1m', '5m');
  widen('5m', '1h');
  put(rolled, '1d', day, fold([...rolled['5m'].values()], true));
  return rolled;
}

/** Appends what differs to `differences`. Numbers follow `seq`. */
function compare(
  interval: Interval,
  stored: readonly Candle[],
  parts: readonly Rolled[],
  past: IndicatorState,
  seqBefore: number,
  clock: number,
  rules: Rules,
  differences: Difference[],
): SeriesChange | null {
  const known = new Map(stored.map((candle) => [candle.openTime, candle]));
  const changed: Candle[] = [];
  const touched: Candle[] = [];
  let seq = seqBefore;
  for (const part of parts) {
    const { openTime } = part;
    const before = known.get(openTime);
    known.delete(openTime);
    const candle = candleOf(past, part, before, interval, clock, rules);
    past.absorb(candle);
    const fields = before === undefined ? {} : differing(before, candle);
    if (before !== undefined && Object.keys(fields).length === 0) continue;
    differences.push({ interval, openTime, kind: before === undefined ? 'missing' : 'different', fields });
    if (before !== undefined && looksSame(candle, before)) touched.push(candle);
    else changed.push({ ...candle, seq: ++seq, revision: candle.revision + 1 });
  }
  // What is left belongs to no minute.
  const removed = [...known.keys()];
  for (const openTime of removed) differences.push({ interval, openTime, kind: 'extra', fields: {} });
  seq += removed.length;
  if (seq === seqBefore && touched.length === 0) return null;
  return { interval, seqBefore, seq, changed, touched, ...(removed.length > 0 && { removed }) };
}

function differing(stored: Candle, computed: Candle): Difference['fields'] {
  const fields: Partial<Record<Field, readonly [Value, Value]>> = {};
  for (const field of FIELDS) if (stored[field] !== computed[field]) fields[field] = [stored[field], computed[field]];
  return fields;
}
