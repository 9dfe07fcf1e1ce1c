import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Past } from '../needs';
import { IndicatorState, type Indicators } from './indicator-state';

interface Ohlc {
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/**
 * Some series, each from a seed so that a counterexample is found fast: walks, jumps by a factor of 1000, prices that
 * stand still. Long enough to fill the windows, and for the closes to move to the front of their buffer more than once.
 */
const candles = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 500 })).map(([seed, length]) => someCandles(seed, length));
const RUNS = { numRuns: 80 };

describe('laws of every indicator', () => {
  test('a value appears with the candle that completes its window, and never goes away', () => {
    const rows = run(new IndicatorState(), steady(200));
    const first = (field: keyof Indicators): number => rows.findIndex((row) => row[field] !== null) + 1;
    expect([first('rsi'), first('ma40'), first('ma80'), first('ma160')]).toEqual([15, 40, 80, 160]);
    expect(rows.slice(159).every((row) => Object.values(row).every(Number.isFinite))).toBe(true);
  });

  test('peek tells what push will tell, and changes nothing, whatever was peeked at before', () => {
    fc.assert(
      fc.property(candles, (series) => {
        const state = new IndicatorState();
        const peeked: Indicators[] = [];
        const pushed: Indicators[] = [];
        for (const { high, low, close } of series) {
          state.peek(high * 2, low / 3, close + 1);
          peeked.push({ ...state.peek(high, low, close) });
          pushed.push({ ...state.push(high, low, close) });
        }
        expectSame(peeked, pushed);
        const unpeeked = new IndicatorState();
        expectSame(pushed, run(unpeeked, series));
        expectSame([state.toPast()], [unpeeked.toPast()]);
      }),
      RUNS,
    );
  });

  test('a state restored after any candle goes on as if it had never stopped', () => {
    fc.assert(
      fc.property(candles, fc.nat(), (series, cut) => {
        const at = cut % series.length;
        const state = new IndicatorState();
        run(state, series.slice(0, at));
        const restored = IndicatorState.from(state.toPast());
        expect([restored.count, restored.lastClose]).toEqual([state.count, state.lastClose]);
        expectSame(run(restored, series.slice(at)), run(state, series.slice(at)));
        expectSame([restored.toPast()], [state.toPast()]);
      }),
      RUNS,
    );
  });

  test('160 closes and the averages of the row before are all that a candle depends on', () => {
    fc.assert(
      fc.property(candles, fc.nat(), (series, cut) => {
        const rows = run(new IndicatorState(), series);
        const at = cut % series.length;
        const closes = series.slice(Math.max(0, at - 160), at).map(({ close }) => close);
        const { avgGain, avgLoss, avgRange } = rows[at - 1] ?? { avgGain: 0, avgLoss: 0, avgRange: 0 };
        const restored = IndicatorState.from({ closes, avgGain, avgLoss, avgRange });
        expectSame(run(restored, series.slice(at)), rows.slice(at));
      }),
      RUNS,
    );
  });

  test('a candle absorbed with its averages counts as one that was pushed', () => {
    fc.assert(
      fc.property(candles, (series) => {
        const rows = run(new IndicatorState(), series);
        const absorbing = new IndicatorState();
        const peeked = series.map(({ high, low, close }, i) => {
          const seen = { ...absorbing.peek(high, low, close) };
          absorbing.absorb({ ...rows[i]!, close });
          return seen;
        });
        expectSame(peeked, rows);
      }),
      RUNS,
    );
  });
});

describe('moving averages', () => {
  test('are the means of the last 40, 80 and 160 closes', () => {
    const state = new IndicatorState();
    for (let close = 1; close <= 399; close++) state.push(close, close, close);
    expect(state.peek(400, 400, 400)).toMatchObject({ ma40: 380.5, ma80: 360.5, ma160: 320.5 });
  });

  test('keep no trace of prices that left the window', () => {
    const quiet = steady(160);
    const after = new IndicatorState();
    run(after, [...Array.from({ length: 300 }, (_, i) => flat(999_999.1 + i / 7)), ...quiet]);
    const fresh = new IndicatorState();
    run(fresh, quiet);
    const { close } = quiet[7]!;
    const { ma40, ma80, ma160 } = after.peek(close, close, close);
    expect(fresh.peek(close, close, close)).toMatchObject({ ma40, ma80, ma160 });
  });
});

describe('averages of gains, losses and ranges', () => {
  test('are sums until the 14th candle, means of 14 at the 15th, and smoothed from the 16th', () => {
    const state = new IndicatorState();
    const averages = (rows: Indicators[]): number[][] => rows.map((row) => [row.avgGain, row.avgLoss, row.avgRange]);
    // Up by 2, down by 1, in turns; every range is 4, also that of the first candle, which does not count.
    const closes = [100, 102, 101, 103, 102, 104, 103, 105, 104, 106, 105, 107, 106, 108, 107, 109];
    const rows = run(
      state,
      closes.map((close) => ({ high: close + 2, low: close - 2, close })),
    );
    expect(averages(rows.slice(0, 3))).toEqual([
      [0, 0, 0],
      [2, 0, 4],
      [2, 1, 8],
    ]);
    expect(averages(rows.slice(13))).toEqual([
      [14, 6, 52],
      [14 / 14, 7 / 14, 56 / 14],
      [(1 * 13 + 2) / 14, (0.5 * 13) / 14, 4],
    ]);
    expect(rows[13]!.rsi).toBeNull();
    expect(rows[14]!.rsi).toBe(100 * (1 / 1.5));
  });

  test('count the gap between a close and the next candle as range', () => {
    const up = new IndicatorState();
    up.push(10, 10, 10);
    expect(up.peek(15, 14, 14.5).avgRange).toBe(5);
    expect(up.peek(7, 6, 6.5).avgRange).toBe(4);
    expect(up.peek(11, 8, 9).avgRange).toBe(3);
  });

  test('an RSI without any change is 0, without losses 100, without gains 0', () => {
    const rsiOf = (closes: number[]): number | null | undefined =>
      run(new IndicatorState(), closes.map(flat)).at(-1)?.rsi;
    expect(rsiOf(new Array(20).fill(5))).toBe(0);
    expect(rsiOf(Array.from({ length: 20 }, (_, i) => 5 + i))).toBe(100);
    expect(rsiOf(Array.from({ length: 20 }, (_, i) => 50 - i))).toBe(0);
  });
});

test('an RSI never leaves 0..100, by no rounding error', () => {
  for (let i = 1; i <= 500; i++) {
    const state = new IndicatorState();
    const rising = run(
      state,
      Array.from({ length: 40 }, (_, k) => flat(1 + (k * i) / 997)),
    );
    expect(rising.slice(14).every(({ rsi }) => rsi === 100)).toBe(true);
  }
});

describe('a past', () => {
  test('starts empty and holds at most 160 closes', () => {
    const state = new IndicatorState();
    expect([state.count, state.lastClose]).toEqual([0, null]);
    expect(state.toPast()).toEqual({ closes: [], avgGain: 0, avgLoss: 0, avgRange: 0 });
    run(state, steady(1_000));
    expect([state.count, state.lastClose]).toEqual([160, steady(1_000).at(-1)!.close]);
    expect(state.toPast().closes).toEqual(
      steady(1_000)
        .slice(-160)
        .map(({ close }) => close),
    );
  });

  test('with more than 160 closes is refused', () => {
    const past: Past = { closes: new Array(161).fill(1), avgGain: 0, avgLoss: 0, avgRange: 0 };
    expect(() => IndicatorState.from(past)).toThrow('161 closes, at most 160 count');
  });
});

function run(state: IndicatorState, series: readonly Ohlc[]): Indicators[] {
  return series.map(({ high, low, close }) => ({ ...state.push(high, low, close) }));
}

function flat(close: number): Ohlc {
  return { high: close, low: close, close };
}

function steady(length: number): Ohlc[] {
  return Array.from({ length }, (_, i) => flat(1 + ((i * 37) % 11) / 7));
}

function someCandles(seed: number, length: number): Ohlc[] {
  let state = (seed % 2_147_483_646) + 1;
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  let close = 100;
  return Array.from({ length }, () => {
    const dice = random();
    if (dice < 0.01) close *= close > 1 ? 0.001 : 1_000;
    else if (dice < 0.8) close *= 1 + (random() - 0.5) / 10;
    return { high: close * (1 + random() / 100), low: close * (1 - random() / 100), close };
  });
}

/** Bit for bit. Only the first difference is shown: it says all, and printing hundreds of rows takes minutes. */
function expectSame<Row extends object>(actual: readonly Row[], expected: readonly Row[]): void {
  expect(actual).toHaveLength(expected.length);
  const index = actual.findIndex((row, i) => !isDeepStrictEqual(row, expected[i]));
  expect({ index, row: actual[index] }).toEqual({ index, row: expected[index] });
}
