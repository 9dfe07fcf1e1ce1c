import {
  type Candle,
  INTERVALS,
  type Interval,
  type PriceUpdate,
  priceUpdate,
  type Tick,
  toIso,
} from '@candlewire/contracts';
import type { MarketCalendar } from '../calendar/calendar';
import { IndicatorState } from '../indicators/indicator-state';
import type { Answer, Need, SeriesSnapshot, SymbolSnapshot } from '../needs';
import { type Core, Fold } from './fold';

/** What decides when a candle begins, ends and is final. */
export interface Rules {
  readonly calendar: MarketCalendar;
  /** A candle is final once the clock is so far past its end. */
  readonly graceMs: number;
}

/** One series in memory: its newest candle and what that one's indicators start from. Everything older is in the store. */
export class SeriesState {
  head: Candle | null;
  past: IndicatorState;
  seq: number;
  /** openTime of the earliest candle before the head that is not final, null where all are. */
  firstOpen: number | null;

  constructor(
    readonly interval: Interval,
    snapshot: SeriesSnapshot,
  ) {
    this.head = snapshot.head;
    this.past = IndicatorState.from(snapshot.past);
    this.seq = snapshot.seq;
    this.firstOpen = snapshot.firstOpen;
  }
}

interface Part {
  readonly openTime: number;
  readonly core: Core;
}

function partOf(candle: Candle): Part {
  return { openTime: candle.openTime, core: candle };
}

interface PriceBasis {
  readonly price: number;
  readonly reference: number | null;
  /** Of the tick, or of the minute's begin. */
  readonly time: number;
  readonly volume: number;
}

/**
 * One symbol in memory: its four series and the roll-ups in the making, about 10 KB. It equals what the store holds after
 * the last commit; whoever fails to commit what {@link advance} made of it throws it away and loads it anew.
 */
export class SymbolState {
  readonly series: Readonly<Record<Interval, SeriesState>>;
  /** Minutes of the head minute's 5m candle before the head minute. */
  readonly five = new Fold(false);
  /** 5m candles of the head minute's hour before the one that is forming. */
  readonly hour = new Fold(false);
  /** The same of its New York date. */
  readonly day = new Fold(true);
  private told: PriceBasis | null = null;

  private constructor(
    readonly symbol: string,
    snapshot: SymbolSnapshot,
  ) {
    this.series = Object.fromEntries(
      INTERVALS.map((interval) => [interval, new SeriesState(interval, snapshot[interval])]),
    ) as Record<Interval, SeriesState>;
  }

  /** Loads a symbol from the store. */
  static *load(symbol: string, { calendar }: Rules): Generator<Need[], SymbolState, Answer[]> {
    const [snapshot] = yield [{ kind: 'symbol', symbol }];
    const state = new SymbolState(symbol, snapshot as SymbolSnapshot);
    const head = state.series['1m'].head;
    if (head !== null) {
      const bucket = calendar.openTimeOf('5m', head.openTime);
      const [minutes, fives] = (yield [
        { kind: 'candles', symbol, interval: '1m', from: bucket, to: head.openTime, limit: DAY_CANDLES_MAX },
        {
          kind: 'candles',
          symbol,
          interval: '5m',
          from: calendar.openTimeOf('1d', head.openTime),
          to: bucket,
          limit: DAY_CANDLES_MAX,
        },
      ]) as [Candle[], Candle[]];
      state.refold(minutes.map(partOf), fives.map(partOf), calendar.openTimeOf('1h', head.openTime));
      // Whoever had the symbol before has told this one.
      state.nextPrice(calendar);
    }
    return state;
  }

  /**
   * Makes the roll-ups anew.
   * @param minutes those of the forming 5m candle before the head minute; null: as they were
   * @param fives those of the head minute's date before the forming 5m candle
   * @param hour left edge of the head minute's hour
   */
  refold(minutes: Iterable<Part> | null, fives: Iterable<Part>, hour: number): void {
    if (minutes !== null) {
      this.five.clear();
      for (const { core } of minutes) this.five.add(core);
    }
    this.hour.clear();
    this.day.clear();
    for (const { openTime, core } of fives) {
      this.day.add(core);
      if (openTime >= hour) this.hour.add(core);
    }
  }

  /** When the clock alone changes something: the earliest instant at which a candle turns final; Infinity if none waits. */
  dueAt({ calendar, graceMs }: Rules): number {
    let due = Number.POSITIVE_INFINITY;
    for (const interval of INTERVALS) {
      const { head, firstOpen } = this.series[interval];
      if (firstOpen !== null) due = Math.min(due, calendar.closeTimeOf(interval, firstOpen) + graceMs);
      if (head !== null && !head.final) due = Math.min(due, calendar.closeTimeOf(interval, head.openTime) + graceMs);
    }
    return due;
  }

  /**
   * The price_update that the newest minute makes, if it is another than the one before. None where a tick has told a
   * newer price: a source that has ticks says by them what the price is.
   */
  nextPrice(calendar: MarketCalendar): PriceUpdate | null {
    const minute = this.series['1m'].head;
    if (minute === null) return null;
    return this.tell({
      price: minute.close,
      reference: this.referenceAt(minute.openTime, calendar),
      time: minute.openTime,
      volume: minute.volume,
    });
  }

  /** The price_update that a tick makes; none where a newer one was told. */
  tick({ price, time, volume }: Tick, calendar: MarketCalendar): PriceUpdate | null {
    return this.tell({ price, reference: this.referenceAt(time, calendar), time, volume });
  }

  private tell(basis: PriceBasis): PriceUpdate | null {
    const { told } = this;
    if (
      told !== null &&
      (told.time > basis.time ||
        (told.time === basis.time &&
          told.price === basis.price &&
          told.reference === basis.reference &&
          told.volume === basis.volume))
    ) {
      return null;
    }
    this.told = basis;
    return priceUpdate(this.symbol, basis.price, basis.reference, toIso(basis.time), basis.volume);
  }

  /** Close of the last 1d candle before the New York date of `time`; null where there is none. */
  private referenceAt(time: number, calendar: MarketCalendar): number | null {
    const { head, past } = this.series['1d'];
    if (head !== null && head.openTime < calendar.openTimeOf('1d', time)) return head.close;
    return past.lastClose;
  }
}

/** More candles than a day can have at any interval. */
export const DAY_CANDLES_MAX = 2_000;
