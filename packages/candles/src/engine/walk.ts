import type { Candle, Interval } from '@candlewire/contracts';
import { IndicatorState } from '../indicators/indicator-state';
import type { Answer, Need, Past } from '../needs';
import type { Rolled } from './rolled';
import type { Rules, SeriesState } from './state';

/** What a walk met, by openTime: candles as they are to be stored, those of `changed` without their numbers yet. */
export interface Walked {
  readonly changed: Map<number, Candle>;
  readonly touched: Map<number, Candle>;
}

/** After so many candles that did not change the windows of all indicators are the same again. */
const WINDOW = 160;
/** Stored candles read at a time. A correction usually needs some 560: then Wilder's averages are the same bits again. */
const CHUNK = 800;

/**
 * Applies rolled candles to a series: computes the indicators of those and of all later candles, and stops only where
 * everything that the next candle starts from is bit-equal to what is stored.
 *
 * The path never shows: the walk computes each candle from the closes before it and the averages of the row before it,
 * which is all there is, whether they come from memory or from the store.
 *
 * @param rolled ascending by openTime
 */
export function* walk(
  symbol: string,
  series: SeriesState,
  rolled: readonly Rolled[],
  clock: number,
  rules: Rules,
): Generator<Need[], Walked, Answer[]> {
  const walked: Walked = { changed: new Map(), touched: new Map() };
  const { interval } = series;
  let next = 0;
  while (next < rolled.length) {
    const from = rolled[next]!.openTime;
    const inMemory = series.head === null || from >= series.head.openTime;
    let past = series.past;
    let rows: readonly Candle[] = series.head === null ? [] : [series.head];
    if (!inMemory) {
      const answers = yield [
        { kind: 'past', symbol, interval, before: from },
        { kind: 'candles', symbol, interval, from, to: Number.POSITIVE_INFINITY, limit: CHUNK },
      ];
      past = IndicatorState.from(answers[0] as Past);
      rows = answers[1] as readonly Candle[];
    }

    let row = 0;
    let same = 0;
    let newest: Candle | null = null;
    for (;;) {
      if (!inMemory && row === rows.length && rows.length === CHUNK) {
        const after = rows[row - 1]!.openTime + 1;
        [rows] = (yield [
          { kind: 'candles', symbol, interval, from: after, to: Number.POSITIVE_INFINITY, limit: CHUNK },
        ]) as [readonly Candle[]];
        row = 0;
      }
      let stored: Candle | undefined = rows[row];
      const over: Rolled | undefined = rolled[next];
      if (stored === undefined && over === undefined) {
        // The end of the series: what was walked is its head, and what came before is the head's past.
        series.past = past;
        series.head = newest;
        break;
      }
      const rolledNow = over !== undefined && (stored === undefined || over.openTime <= stored.openTime);
      if (rolledNow) {
        next++;
        if (stored?.openTime === over.openTime) row++;
        else stored = undefined;
      } else row++;

      if (newest !== null) past.absorb(newest);
      newest = settle(past, stored, rolledNow ? over : undefined, clock, rules, series, walked);
      same = rolledNow ? 0 : same + 1;
      if (!inMemory && same >= WINDOW && sameAverages(newest, stored!)) break;
    }
  }
  return walked;
}

/** The candle as it is now: `stored` itself where nothing about it is new. */
function settle(
  past: IndicatorState,
  stored: Candle | undefined,
  rolled: Rolled | undefined,
  clock: number,
  rules: Rules,
  { interval }: SeriesState,
  walked: Walked,
): Candle {
  const now = rolled ?? { openTime: stored!.openTime, core: stored!, rev: stored!.rev };
  const candle = candleOf(past, now, stored, interval, clock, rules);
  if (stored === undefined || !looksSame(candle, stored)) walked.changed.set(candle.openTime, candle);
  else if (!isSame(candle, stored)) walked.touched.set(candle.openTime, candle);
  else return stored;
  return candle;
}

/** A candle with its indicators, under the numbers that it has in the store so far. */
export function candleOf(
  past: IndicatorState,
  { openTime, core, rev }: Rolled,
  stored: Candle | undefined,
  interval: Interval,
  clock: number,
  { calendar, graceMs }: Rules,
): Candle {
  const { rsi, avgGain, avgLoss, avgRange, ma40, ma80, ma160 } = past.peek(core.high, core.low, core.close);
  return {
    openTime,
    open: core.open,
    high: core.high,
    low: core.low,
    close: core.close,
    volume: core.volume,
    vwap: core.vwap,
    tradeCount: core.tradeCount,
    status: core.status,
    rsi,
    avgGain,
    avgLoss,
    avgRange,
    ma40,
    ma80,
    ma160,
    final: stored?.final === true || clock >= calendar.closeTimeOf(interval, openTime) + graceMs,
    rev,
    revision: stored?.revision ?? 0,
    seq: stored?.seq ?? 0,
  };
}

/** Equal in everything that the wire shows. */
export function looksSame(a: Candle, b: Candle): boolean {
  return (
    a.open === b.open &&
    a.high === b.high &&
    a.low === b.low &&
    a.close === b.close &&
    a.volume === b.volume &&
    (a.vwap === b.vwap || a.volume === 0) &&
    a.tradeCount === b.tradeCount &&
    a.status === b.status &&
    a.rsi === b.rsi &&
    (a.avgRange === b.avgRange || a.rsi === null) &&
    a.ma40 === b.ma40 &&
    a.ma80 === b.ma80 &&
    a.ma160 === b.ma160 &&
    a.final === b.final
  );
}

/** Equal in what the wire does not show as well. */
function isSame(a: Candle, b: Candle): boolean {
  return a.rev === b.rev && a.vwap === b.vwap && sameAverages(a, b);
}

function sameAverages(a: Candle, b: Candle): boolean {
  return a.avgGain === b.avgGain && a.avgLoss === b.avgLoss && a.avgRange === b.avgRange;
}
