import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { ATR, init, RSI, SMA } from 'talib-web';
import { IndicatorState, type Indicators } from './indicator-state';

/** Every value agrees with TA-Lib, compiled to WebAssembly, on the same candles. */

const TOLERANCE = 1e-9;
const SHARED = join(__dirname, '../../../../../shared');
const BARS = join(SHARED, 'data/us-equities-1m.csv');
const EXAMPLES = ['5m', '1h', '1d'].map((interval) => join(SHARED, `candles-example/expected_${interval}.csv`));

interface Ohlc {
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

type Shown = Pick<Indicators, 'rsi' | 'ma40' | 'ma80' | 'ma160'> & { readonly atr: number | null };

beforeAll(async () => {
  // As data and not as a path, which it would hand to fetch.
  const wasm = readFileSync(require.resolve('talib-web/lib/talib.wasm'));
  await init(`data:application/wasm;base64,${wasm.toString('base64')}`);
});

describe('indicators equal TA-Lib', () => {
  test('on random walks', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 700 }), (seed, length) =>
        expectTaLib(walk(100, noise(length, seed))),
      ),
      { numRuns: 60 },
    );
  });

  test('on candles that never move', () => {
    expectTaLib(Array.from({ length: 300 }, () => ({ high: 12.34, low: 12.34, close: 12.34 })));
  });

  test('after a price that falls to a millionth', () => {
    const before = walk(1_000_000, noise(500));
    expectTaLib([...before, ...walk(1, noise(500))]);
  });

  test('on prices below a cent', () => {
    expectTaLib(walk(0.0001, noise(500)));
  });

  test('on prices of a million', () => {
    expectTaLib(walk(1_000_000, noise(500)));
  });

  (existsSync(BARS) ? test : test.skip)('on real bars (skipped without the sample us-equities-1m.csv)', () => {
    const bars = rowsBySymbol(BARS);
    expect(bars.size).toBeGreaterThan(0);
    for (const rows of bars.values()) expectTaLib(rows.map(ohlcOf));
  });
});

for (const file of EXAMPLES) {
  const name = file.slice(file.lastIndexOf('/') + 1);
  (existsSync(file) ? test : test.skip)(`indicators equal the example's (skipped without ${name})`, () => {
    for (const rows of rowsBySymbol(file).values()) {
      const expected = rows.map((row) => ({
        rsi: numberOf(row.RSI),
        atr: numberOf(row.ATR),
        ma40: numberOf(row.MA40),
        ma80: numberOf(row.MA80),
        ma160: numberOf(row.MA160),
      }));
      expectClose(own(rows.map(ohlcOf)), expected);
    }
  });
}

function own(candles: readonly Ohlc[]): Shown[] {
  const state = new IndicatorState();
  return candles.map(({ high, low, close }) => {
    const { rsi, avgRange, ma40, ma80, ma160 } = state.push(high, low, close);
    return { rsi, atr: rsi === null ? null : avgRange, ma40, ma80, ma160 };
  });
}

function expectTaLib(candles: readonly Ohlc[]): void {
  const high = candles.map((candle) => candle.high);
  const low = candles.map((candle) => candle.low);
  const close = candles.map((candle) => candle.close);
  const rsi = aligned(14, close, () => RSI({ inReal: close, timePeriod: 14 }).output);
  const atr = aligned(14, close, () => ATR({ high, low, close, timePeriod: 14 }).output);
  const [ma40, ma80, ma160] = [40, 80, 160].map((timePeriod) =>
    aligned(timePeriod - 1, close, () => SMA({ inReal: close, timePeriod }).output),
  );
  const expected = candles.map((_, i) => ({
    rsi: rsi[i]!,
    atr: atr[i]!,
    ma40: ma40![i]!,
    ma80: ma80![i]!,
    ma160: ma160![i]!,
  }));
  expectClose(own(candles), expected);
}

/** The library's outputs begin with the first value and end with zeros; ours begin with nulls. */
function aligned(lookback: number, inputs: readonly number[], compute: () => number[]): (number | null)[] {
  if (inputs.length <= lookback) return inputs.map(() => null);
  const values = compute();
  return inputs.map((_, i) => (i < lookback ? null : values[i - lookback]!));
}

function expectClose(actual: readonly Shown[], expected: readonly Shown[]): void {
  const differences = expected.flatMap((candle, i) =>
    (Object.keys(candle) as (keyof Shown)[])
      .filter((field) => !isClose(actual[i]![field], candle[field]))
      .map((field) => ({ candle: i, field, actual: actual[i]![field], expected: candle[field] })),
  );
  expect(actual).toHaveLength(expected.length);
  expect(differences.slice(0, 3)).toEqual([]);
}

function isClose(actual: number | null, expected: number | null): boolean {
  if (actual === null || expected === null) return actual === expected;
  return Math.abs(actual - expected) <= TOLERANCE * Math.abs(expected);
}

/** Candles whose closes move by these fractions, each with a range of its own. */
function walk(start: number, steps: readonly number[]): Ohlc[] {
  let close = start;
  return steps.map((step, i) => {
    const open = close;
    close *= 1 + step;
    const tail = (start / 1_000) * (i % 5);
    return { high: Math.max(open, close) + tail, low: Math.min(open, close) * (1 - (i % 3) / 1_000), close };
  });
}

/** Steps of up to a hundredth, the same for each seed. */
function noise(length: number, seed = 7): number[] {
  let state = (seed % 2_147_483_646) + 1;
  return Array.from({ length }, () => ((state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5) / 50);
}

type Row = Readonly<Record<string, string>>;

function rowsBySymbol(file: string): Map<string, Row[]> {
  const [header, ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const columns = header!.split(',');
  const rows = new Map<string, Row[]>();
  for (const line of lines) {
    const cells = line.split(',');
    const row = Object.fromEntries(columns.map((column, i) => [column, cells[i]!]));
    const symbol = row.symbol!;
    if (!rows.has(symbol)) rows.set(symbol, []);
    rows.get(symbol)!.push(row);
  }
  return rows;
}

function ohlcOf(row: Row): Ohlc {
  return { high: Number(row.high), low: Number(row.low), close: Number(row.close) };
}

function numberOf(cell: string | undefined): number | null {
  return cell === undefined || cell.trim() === '' ? null : Number(cell);
}
