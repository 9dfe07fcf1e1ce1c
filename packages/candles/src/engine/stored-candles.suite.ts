import { type Bar, type Candle, INTERVALS, type Interval } from '@candlewire/contracts';
import {
  type Answer,
  advance,
  type Difference,
  type MarketCalendar,
  type Need,
  type Past,
  rebuildDay,
  type SeriesChange,
  type SeriesSnapshot,
  SymbolState,
} from '../index';

/** What the aggregator and its store are to the engine, in a map: for tests of the engine alone. */
export class StoredCandles {
  private readonly tables = new Map<string, Candle[]>();
  private readonly seqs = new Map<string, number>();
  private readonly live = new Map<string, SymbolState>();
  clock = Number.NEGATIVE_INFINITY;
  /** Candles read in answer to needs. */
  reads = 0;

  constructor(
    readonly calendar: MarketCalendar,
    readonly graceMs: number = 35_000,
  ) {}

  /** Applies deliveries and stores what they changed, as one commit for each symbol. */
  apply(bars: readonly Bar[], clock: number): void {
    this.clock = Math.max(this.clock, clock);
    const symbols = new Set(bars.map((bar) => bar.symbol));
    for (const [symbol, state] of this.live) if (state.dueAt(this.rules) <= this.clock) symbols.add(symbol);
    for (const symbol of symbols) {
      let mine = bars.filter((bar) => bar.symbol === symbol);
      for (let more = true; more; mine = []) more = this.run(this.advance(symbol, mine));
    }
  }

  /** Forgets everything that is not stored. Symbols with open candles are loaded at once, as an owner does. */
  restart(): void {
    this.live.clear();
    const open = [...this.tables]
      .filter(([, candles]) => candles.some((candle) => !candle.final))
      .map(([key]) => key.split(' ')[0]!);
    for (const symbol of new Set(open)) this.live.set(symbol, this.run(SymbolState.load(symbol, this.rules)));
  }

  candles(symbol: string, interval: Interval): readonly Candle[] {
    return this.tables.get(`${symbol} ${interval}`) ?? [];
  }

  /** Everything that the deliveries alone determine: all but seq and revision. */
  contents(): Record<string, Omit<Candle, 'seq' | 'revision'>[]> {
    return Object.fromEntries(
      [...this.tables]
        .sort()
        .map(([key, candles]) => [key, candles.map(({ seq: _seq, revision: _revision, ...rest }) => rest)]),
    );
  }

  private get rules() {
    return { calendar: this.calendar, graceMs: this.graceMs };
  }

  /** Rebuilds a symbol, and corrects what differs, a day after the other. */
  rebuild(symbol: string, from = Number.NEGATIVE_INFINITY): readonly Difference[] {
    const differences: Difference[] = [];
    for (;;) {
      const day = this.run(rebuildDay(symbol, from, this.clock, this.rules));
      if (day === null) return differences;
      differences.push(...day.differences);
      this.store(symbol, day.series);
      if (day.series.length > 0) this.live.delete(symbol);
      from = day.next;
    }
  }

  /** What somebody does to a table by hand. */
  tamper(symbol: string, interval: Interval, edit: (table: Candle[]) => void): void {
    const table = this.candles(symbol, interval).map((candle) => ({ ...candle }));
    edit(table);
    this.tables.set(`${symbol} ${interval}`, table);
  }

  /** Minutes before the horizon are deleted, but for the newest `kept` of each symbol. */
  forget(horizon: number, kept: number): void {
    for (const [key, table] of this.tables) {
      if (key.endsWith(' 1m')) this.tables.set(key, table.slice(Math.max(0, indexOf(table, horizon) - kept)));
    }
  }

  private *advance(symbol: string, bars: readonly Bar[]): Generator<Need[], boolean, Answer[]> {
    const state = this.live.get(symbol) ?? (yield* SymbolState.load(symbol, this.rules));
    this.live.set(symbol, state);
    const { series, more } = yield* advance(state, bars, this.clock, this.rules);
    this.store(symbol, series);
    return more;
  }

  private store(symbol: string, series: readonly SeriesChange[]): void {
    for (const { interval, changed, touched, seq, seqBefore, removed = [] } of series) {
      const key = `${symbol} ${interval}`;
      if ((this.seqs.get(key) ?? 0) !== seqBefore || seq !== seqBefore + changed.length + removed.length)
        throw new Error(`${key}: numbers do not join`);
      this.seqs.set(key, seq);
      const table = [...this.candles(symbol, interval)];
      this.tables.set(key, table);
      for (const [i, candle] of changed.entries()) {
        const at = indexOf(table, candle.openTime);
        const before = table[at]?.openTime === candle.openTime ? table[at] : undefined;
        if (candle.seq !== seqBefore + 1 + i || candle.revision !== (before?.revision ?? 0) + 1)
          throw new Error(`${key}: wrong number`);
        table.splice(at, before === undefined ? 0 : 1, { ...candle });
      }
      for (const candle of touched) table[indexOf(table, candle.openTime)] = { ...candle };
      for (const openTime of removed) table.splice(indexOf(table, openTime), 1);
    }
  }

  private run<T>(generator: Generator<Need[], T, Answer[]>): T {
    let step = generator.next([]);
    while (!step.done) step = generator.next(step.value.map((need) => this.answer(need)));
    return step.value;
  }

  private answer(need: Need): Answer {
    if (need.kind === 'symbol') {
      const snapshot = (interval: Interval): SeriesSnapshot => {
        const candles = this.candles(need.symbol, interval);
        const head = candles.at(-1) ?? null;
        return {
          seq: this.seqs.get(`${need.symbol} ${interval}`) ?? 0,
          head: head && { ...head },
          past: past(candles.slice(0, -1)),
          firstOpen: candles.slice(0, -1).find((candle) => !candle.final)?.openTime ?? null,
        };
      };
      return Object.fromEntries(INTERVALS.map((interval) => [interval, snapshot(interval)])) as Record<
        Interval,
        SeriesSnapshot
      >;
    }
    const candles = this.candles(need.symbol, need.interval);
    if (need.kind === 'past') return past(candles.slice(0, indexOf(candles, need.before)));
    const within =
      need.kind === 'open'
        ? candles.slice(0, indexOf(candles, need.before)).filter((candle) => !candle.final)
        : candles.slice(indexOf(candles, need.from), indexOf(candles, need.to));
    const found = within.slice(0, need.limit).map((candle) => ({ ...candle }));
    this.reads += found.length;
    return found;
  }
}

function past(before: readonly Candle[]): Past {
  const last = before.at(-1);
  return {
    closes: before.slice(-160).map((candle) => candle.close),
    avgGain: last?.avgGain ?? 0,
    avgLoss: last?.avgLoss ?? 0,
    avgRange: last?.avgRange ?? 0,
  };
}

/** Index of the first candle at or after `openTime`. */
function indexOf(candles: readonly Candle[], openTime: number): number {
  let low = 0;
  for (let high = candles.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (candles[middle]!.openTime < openTime) low = middle + 1;
    else high = middle;
  }
  return low;
}
