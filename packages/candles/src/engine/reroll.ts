import { type Bar, type Candle, MINUTE_MS } from '@candlewire/contracts';
import type { Answer, Need } from '../needs';
import { type Core, Fold } from './fold';
import { emit, headMinute, put, type Rolled, type RolledSeries, revises, rolledMinute } from './rolled';
import { DAY_CANDLES_MAX, type Rules, type SymbolState } from './state';

/** New York dates that are read and rolled up together: bounds the memory of a batch of scattered corrections. */
const DAYS_AT_ONCE = 16;
const FIVE_MS = 5 * MINUTE_MS;

/**
 * Minutes before the head, of whatever age: the 5m, 1h and 1d candles that hold them are folded anew from what is stored
 * with these minutes put in. On the head's own date the roll-ups in the making are made anew as well.
 *
 * @param bars one for each minute, ascending, all before the head minute
 */
export function* reroll(
  state: SymbolState,
  bars: readonly Bar[],
  rules: Rules,
  rolled: RolledSeries,
): Generator<Need[], void, Answer[]> {
  const { calendar } = rules;
  const days = group(bars, (bar) => calendar.openTimeOf('1d', bar.openTime));
  const { symbol } = state;
  for (let at = 0; at < days.length; at += DAYS_AT_ONCE) {
    const some = days.slice(at, at + DAYS_AT_ONCE);
    const answers = (yield some.flatMap(([day, ofDay]): Need[] => [
      {
        kind: 'candles',
        symbol,
        interval: '1m',
        from: calendar.openTimeOf('5m', ofDay[0]!.openTime),
        to: calendar.openTimeOf('5m', ofDay.at(-1)!.openTime) + FIVE_MS,
        limit: DAY_CANDLES_MAX,
      },
      { kind: 'candles', symbol, interval: '5m', from: day, to: calendar.nextDay(day), limit: DAY_CANDLES_MAX },
    ])) as Candle[][];
    for (const [i, [day, ofDay]] of some.entries()) {
      rerollDay(state, day, ofDay, answers[2 * i]!, answers[2 * i + 1]!, rules, rolled);
    }
  }
}

function rerollDay(
  state: SymbolState,
  day: number,
  bars: readonly Bar[],
  storedMinutes: readonly Candle[],
  storedFives: readonly Candle[],
  { calendar }: Rules,
  rolled: RolledSeries,
): void {
  const minutes = byTime(storedMinutes);
  const touched = new Set<number>();
  for (const bar of bars) {
    const known = minutes.get(bar.openTime);
    if (known !== undefined && !revises(bar, known)) continue;
    const minute = rolledMinute(bar, calendar.statusOf(bar.openTime));
    minutes.set(bar.openTime, minute);
    rolled['1m'].set(bar.openTime, minute);
    touched.add(calendar.openTimeOf('5m', bar.openTime));
  }
  if (touched.size === 0) return;

  const ofBucket = new Map(group(sorted(minutes), (minute) => calendar.openTimeOf('5m', minute.openTime)));
  const fives = byTime(storedFives);
  for (const openTime of touched) {
    const core = fold(ofBucket.get(openTime)!, false)!;
    fives.set(openTime, { openTime, core, rev: 0 });
    put(rolled, '5m', openTime, core);
  }
  const parts = sorted(fives);
  const ofHour = new Map(group(parts, (five) => calendar.openTimeOf('1h', five.openTime)));
  for (const hour of new Set([...touched].map((five) => calendar.openTimeOf('1h', five)))) {
    put(rolled, '1h', hour, fold(ofHour.get(hour)!, false));
  }
  put(rolled, '1d', day, fold(parts, true));

  const head = headMinute(state)!;
  if (calendar.openTimeOf('1d', head.openTime) !== day) return;
  const forming = calendar.openTimeOf('5m', head.openTime);
  // Minutes of the forming bucket were read only if it was touched; otherwise its roll-up stands.
  state.refold(
    touched.has(forming) ? ofBucket.get(forming)!.filter((minute) => minute.openTime < head.openTime) : null,
    parts.filter((five) => five.openTime < forming),
    calendar.openTimeOf('1h', head.openTime),
  );
  emit(state, head, calendar, rolled);
}

/** The candle of parts that stand in order; null where they make none. */
export function fold(parts: readonly Rolled[], sessions: boolean): Core | null {
  const all = new Fold(sessions);
  for (const { core } of parts) all.add(core);
  return all.result();
}

function byTime(candles: readonly Candle[]): Map<number, Rolled> {
  return new Map(
    candles.map((candle) => [candle.openTime, { openTime: candle.openTime, core: candle, rev: candle.rev }]),
  );
}

function sorted(parts: ReadonlyMap<number, Rolled>): Rolled[] {
  return [...parts.values()].sort((a, b) => a.openTime - b.openTime);
}

/** Items of equal key, keys in the order in which they first come. */
export function group<T>(items: readonly T[], keyOf: (item: T) => number): [number, T[]][] {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups];
}
