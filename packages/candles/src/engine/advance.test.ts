import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bar, type Candle, INTERVALS, MINUTE_MS, parseInstant, type Rev } from '@candlewire/contracts';
import fc from 'fast-check';
import { createCalendar } from '../index';
import { StoredCandles } from './stored-candles.suite';

const TABLE = readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8');
const nyse = createCalendar('nyse', TABLE);
const always = createCalendar('24x7', TABLE);
/** A Monday, 09:30 in New York. */
const OPEN = parseInstant('2025-06-02T13:30:00Z')!;

function bar(minute: number, close: number, rest: Partial<Bar> = {}): Bar {
  return {
    symbol: 'AAPL',
    openTime: OPEN + minute * MINUTE_MS,
    open: close,
    high: close + 1,
    low: close - 1,
    close,
    volume: 100,
    tradeCount: 10,
    vwap: close,
    rev: 0,
    ...rest,
  };
}

/** A walk that never repeats a price: an error in any window shows. */
function walkOf(length: number, start = 100): Bar[] {
  let price = start;
  return Array.from({ length }, (_, minute) => {
    price += Math.sin(minute * 12.9898) * 0.7;
    const spread = 0.5 + 0.4 * Math.cos(minute * 7.31);
    return bar(minute, price, {
      high: price + spread,
      low: price - spread,
      volume: 100 + (minute % 7),
      vwap: price + 0.01 * Math.cos(minute),
    });
  });
}

/** Any deliveries of a handful of days: dense stretches, thin ones, corrections, all statuses. */
const arbitraryDeliveries = fc.array(
  fc.record({
    minute: fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: -600, max: 600 }),
      fc.integer({ min: 0, max: 6 * 1440 }),
    ),
    close: fc.integer({ min: 50, max: 150 }),
    spread: fc.integer({ min: 0, max: 5 }),
    volume: fc.integer({ min: 0, max: 3 }),
    sparse: fc.integer({ min: 0, max: 9 }),
    rev: fc.constantFrom<Rev>(0, 0, 0, 1, 2, 4),
    symbol: fc.constantFrom('AAPL', 'AAPL', 'MSFT'),
  }),
  { minLength: 1, maxLength: 120 },
);

type Delivery = Parameters<Parameters<typeof arbitraryDeliveries.map>[0]>[0][number];

function barsOf(deliveries: readonly Delivery[]): Bar[] {
  return deliveries.map(({ minute, close, spread, volume, sparse, rev, symbol }) =>
    bar(minute, close, {
      symbol,
      rev,
      high: close + spread,
      low: close - spread,
      volume,
      vwap: sparse === 0 ? null : close + 0.1,
      tradeCount: sparse === 1 ? null : volume,
    }),
  );
}

/** Deliveries of equal symbol, minute and rev keep their order: the last of them wins. */
function shuffled(bars: readonly Bar[], keys: readonly number[]): Bar[] {
  const order = bars
    .map((one, i) => ({ one, key: keys[i % keys.length]! * ((i % 13) + 1) }))
    .sort((a, b) => a.key - b.key);
  const queues = new Map<string, Bar[]>();
  const id = ({ symbol, openTime, rev }: Bar) => `${symbol} ${openTime} ${rev}`;
  for (const one of bars) queues.set(id(one), [...(queues.get(id(one)) ?? []), one]);
  return order.map(({ one }) => queues.get(id(one))!.shift()!);
}

const LATE = OPEN + 30 * 1440 * MINUTE_MS;

describe('advance', () => {
  it.each([
    ['nyse', nyse],
    ['24x7', always],
  ] as const)(
    'gives the same bits whatever the order, the batches, the repeats and the restarts (%s)',
    (_, calendar) => {
      fc.assert(
        fc.property(
          arbitraryDeliveries,
          fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 7, maxLength: 50 }),
          fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
          (deliveries, keys, sizes) => {
            const bars = barsOf(deliveries);
            const whole = new StoredCandles(calendar);
            whole.apply(bars, LATE);

            const parts = new StoredCandles(calendar);
            const other = shuffled(bars, keys);
            for (let at = 0, i = 0; at < other.length; i++) {
              const size = sizes[i % sizes.length]!;
              const batch = other.slice(at, at + size);
              // Clocks of any kind on the way: which candles are final in between must not matter in the end.
              parts.apply(batch, i % 3 === 0 ? OPEN + keys[i % keys.length]! * 10 : Number.NEGATIVE_INFINITY);
              if (i % 4 === 1) parts.apply(batch, Number.NEGATIVE_INFINITY);
              if (i % 3 === 2) parts.restart();
              at += size;
            }
            parts.apply([], LATE);
            expect(parts.contents()).toEqual(whole.contents());
            expect(Object.values(whole.contents()).every((candles) => candles.every((candle) => candle.final))).toBe(
              true,
            );
          },
        ),
        { numRuns: 300 },
      );
    },
  );

  it('changes nothing when everything is delivered again', () => {
    fc.assert(
      fc.property(arbitraryDeliveries, (deliveries) => {
        const newestOnly = new Map(
          barsOf(deliveries).map((one) => [`${one.symbol} ${one.openTime}`, { ...one, rev: 4 as Rev }]),
        );
        const bars = [...newestOnly.values()];
        const store = new StoredCandles(nyse);
        store.apply(bars, LATE);
        const before = INTERVALS.map((interval) => store.candles('AAPL', interval));
        store.apply(bars, LATE);
        expect(INTERVALS.map((interval) => store.candles('AAPL', interval))).toEqual(before);
      }),
      { numRuns: 50 },
    );
  });

  it('corrects the 10th of 20,000 minutes to the bits of a fresh run, reading only as far as it has to', () => {
    const bars = walkOf(20_000);
    const store = new StoredCandles(always);
    store.apply(bars, LATE);
    const corrected = { ...bars[9]!, close: bars[9]!.close + 0.5, rev: 2 as Rev };
    store.reads = 0;
    store.apply([corrected], LATE);
    expect(store.reads).toBeLessThan(8_000);

    const fresh = new StoredCandles(always);
    fresh.apply([...bars.slice(0, 9), corrected, ...bars.slice(10)], LATE);
    expect(store.contents()).toEqual(fresh.contents());
  });

  it('puts a late minute in among 3,000 others, in front of them and behind them', () => {
    const bars = walkOf(3_000);
    for (const missing of [0, 14, 1_500, 2_900, 2_999]) {
      const store = new StoredCandles(always);
      store.apply(bars.toSpliced(missing, 1), LATE);
      store.apply([bars[missing]!], LATE);
      const fresh = new StoredCandles(always);
      fresh.apply(bars, LATE);
      expect(store.contents()).toEqual(fresh.contents());
    }
  });

  it('numbers each change and only changes', () => {
    const store = new StoredCandles(nyse);
    const at = (openTime: number): Candle =>
      store.candles('AAPL', '1m').find((candle) => candle.openTime === openTime)!;
    store.apply([bar(0, 100)], OPEN + MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 1, revision: 1, final: false });
    store.apply([bar(0, 100)], OPEN + MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 1, revision: 1, rev: 0 });
    store.apply([bar(0, 100, { rev: 1 })], OPEN + MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 1, revision: 1, rev: 1 });
    store.apply([bar(0, 101)], OPEN + MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 1, revision: 1, close: 100 });
    store.apply([bar(0, 101, { rev: 1 })], OPEN + MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 2, revision: 2, close: 101 });
    store.apply([], OPEN + MINUTE_MS + 34_999);
    expect(at(OPEN).final).toBe(false);
    store.apply([], OPEN + MINUTE_MS + 35_000);
    expect(at(OPEN)).toMatchObject({ seq: 3, revision: 3, final: true });
    store.apply([bar(0, 99, { rev: 2 })], OPEN + 2 * MINUTE_MS);
    expect(at(OPEN)).toMatchObject({ seq: 4, revision: 4, final: true, close: 99 });
  });

  it('leaves a day without a regular bar without a 1d candle, and counts its sums once there is one', () => {
    const store = new StoredCandles(nyse);
    store.apply([bar(-60, 90, { volume: 7 }), bar(-3_000, 80)], OPEN);
    expect(store.candles('AAPL', '1d')).toEqual([]);
    store.apply([bar(5, 100, { volume: 5 }), bar(500, 70, { volume: 3 })], OPEN);
    const [day] = store.candles('AAPL', '1d');
    expect(day).toMatchObject({ open: 100, low: 99, close: 100, volume: 15, status: 'regular' });
    expect(day!.vwap).toBeCloseTo((90 * 7 + 100 * 5 + 70 * 3) / 15, 12);
  });

  it('makes final thousands of candles that waited for a withheld clock', () => {
    const store = new StoredCandles(always);
    store.apply(walkOf(7_000), Number.NEGATIVE_INFINITY);
    expect(store.candles('AAPL', '1m').some((candle) => candle.final)).toBe(false);
    store.restart();
    store.apply([], LATE);
    for (const interval of INTERVALS)
      expect(store.candles('AAPL', interval).every((candle) => candle.final)).toBe(true);
  });
});
