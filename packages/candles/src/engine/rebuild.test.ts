import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bar, type Candle, DAY_MS, INTERVALS, MINUTE_MS, parseInstant, type Rev } from '@candlewire/contracts';
import fc from 'fast-check';
import { createCalendar, horizonOf } from '../index';
import { StoredCandles } from './stored-candles.suite';

const nyse = createCalendar('nyse', readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8'));
const always = createCalendar('24x7', '');
/** A Monday, 09:30 in New York. */
const OPEN = parseInstant('2025-06-02T13:30:00Z')!;
const A = 'AAPL';

function bar(minute: number, close: number, rest: Partial<Bar> = {}): Bar {
  const openTime = OPEN + minute * MINUTE_MS;
  const [high, low] = [close + 1, close - 1];
  return {
    symbol: A,
    openTime,
    open: close,
    high,
    low,
    close,
    volume: 100,
    tradeCount: 3,
    vwap: close,
    rev: 0,
    ...rest,
  };
}

/** A walk that never repeats a price: an error in any window shows. */
function walkOf(from: number, count: number, step = 1): Bar[] {
  return Array.from({ length: count }, (_, i) => {
    const minute = from + i * step;
    return bar(minute, 100 + 5 * Math.sin(minute * 12.9898), { volume: 100 + (i % 7), vwap: 100 + Math.cos(minute) });
  });
}

const deliveries = fc.array(
  fc.record({
    minute: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: -600, max: 5 * 1440 })),
    close: fc.integer({ min: 50, max: 150 }),
    volume: fc.integer({ min: 0, max: 3 }),
    sparse: fc.integer({ min: 0, max: 9 }),
    rev: fc.constantFrom<Rev>(0, 0, 0, 1, 2, 4),
  }),
  { minLength: 1, maxLength: 100 },
);
const barsOf = (some: Parameters<Parameters<typeof deliveries.map>[0]>[0]): Bar[] =>
  some.map(({ minute, close, volume, sparse, rev }) =>
    bar(minute, close, {
      volume,
      rev,
      vwap: sparse === 0 ? null : close + 0.1,
      tradeCount: sparse === 1 ? null : volume,
    }),
  );

/** Deliveries in batches, the clock going on with them or standing still. */
function stored(bars: readonly Bar[], calendar = nyse): StoredCandles {
  const store = new StoredCandles(calendar);
  for (let at = 0; at < bars.length; at += 7) {
    const some = bars.slice(at, at + 7);
    store.apply(some, Math.max(...some.map(({ openTime }) => openTime)) + MINUTE_MS);
  }
  return store;
}

test.each([
  ['nyse', nyse],
  ['24x7', always],
])('whatever was delivered, a rebuild finds nothing to correct (%s)', (_, calendar) => {
  fc.assert(
    fc.property(deliveries, (some) => {
      const store = stored(barsOf(some), calendar);
      const before = store.contents();
      expect(store.rebuild(A)).toEqual([]);
      expect(store.contents()).toEqual(before);
    }),
    { numRuns: 150 },
  );
});

/** Some four days of trading with a late bar and a correction in them, and everything final but for the last. */
function fourDays(): StoredCandles {
  const days = [0, 1, 2, 3].flatMap((day) => walkOf(day * 1440 - 90, 200));
  const late = days.splice(77, 1);
  const store = stored([...days, ...late, bar(1440 + 5, 120, { rev: 2 })]);
  store.apply([], OPEN + 3 * DAY_MS + 120 * MINUTE_MS);
  return store;
}

test('each corruption is told by name, and corrected', () => {
  const store = fourDays();
  const right = store.contents();
  const at = (interval: '5m' | '1h' | '1d' | '1m', index: number) => store.candles(A, interval)[index]!.openTime;
  const times = { five: at('5m', 10), rsi: at('1m', 300), hour: at('1h', 6), average: at('5m', 60), day: at('1d', 1) };
  const rsi = store.candles(A, '1m')[300]!.rsi;
  const edit = (interval: '5m' | '1h' | '1d' | '1m', index: number, fields: Partial<Candle>) =>
    store.tamper(A, interval, (table) => Object.assign(table[index]!, fields));
  edit('5m', 10, { volume: 7 });
  edit('1m', 300, { rsi: 1 });
  edit('5m', 60, { avgGain: 9 });
  edit('1d', 1, { status: 'post', final: false });
  const extra = times.five - 20 * DAY_MS;
  store.tamper(A, '1h', (table) => table.splice(6, 1));
  store.tamper(A, '5m', (table) => table.unshift({ ...table[0]!, openTime: extra, seq: 0 }));
  store.restart();

  const found = store.rebuild(A).map(({ interval, openTime, kind, fields }) => [interval, openTime, kind, fields]);
  const volume = right[`${A} 5m`]![10]!.volume;
  const gain = right[`${A} 5m`]![60]!.avgGain;
  const expected = [
    ['5m', extra, 'extra', {}],
    ['5m', times.five, 'different', { volume: [7, volume] }],
    ['1h', times.hour, 'missing', {}],
    ['1m', times.rsi, 'different', { rsi: [1, rsi] }],
    ['5m', times.average, 'different', { avgGain: [9, gain] }],
    ['1d', times.day, 'different', { status: ['post', 'regular'], final: [false, true] }],
  ];
  const sorted = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).sort();
  expect(sorted(found)).toEqual(sorted(expected));
  expect(store.contents()).toEqual(right);
  expect(store.rebuild(A)).toEqual([]);
});

test('what a corruption did to candles computed since is corrected up to the newest, and live bars go on from it', () => {
  const untouched = fourDays();
  const store = fourDays();
  store.tamper(A, '5m', (table) => Object.assign(table.at(-2)!, { close: 900, avgRange: 70 }));
  store.tamper(A, '1d', (table) => Object.assign(table.at(-1)!, { volume: 1 }));
  store.restart();
  const more = walkOf(3 * 1440 + 110, 30);
  for (const one of [store, untouched]) one.apply(more, OPEN + 3 * DAY_MS + 140 * MINUTE_MS);
  const differing = store.rebuild(A).filter(({ interval }) => interval === '5m');
  expect(differing.length).toBeGreaterThan(3);
  expect(store.contents()).toEqual(untouched.contents());
  const last = walkOf(3 * 1440 + 140, 30);
  for (const one of [store, untouched]) one.apply(last, OPEN + 3 * DAY_MS + 170 * MINUTE_MS);
  expect(store.contents()).toEqual(untouched.contents());
});

test('what stands before the first day is left as it is', () => {
  const store = fourDays();
  store.tamper(A, '5m', (table) => Object.assign(table[3]!, { volume: 7 }));
  expect(store.rebuild(A, nyse.openTimeOf('1d', OPEN + DAY_MS))).toEqual([]);
  expect(store.rebuild(A, nyse.openTimeOf('1d', OPEN))).toHaveLength(1);
});

test('with 161 minutes kept before the horizon corrections of its first day change every candle as if all were there', () => {
  const horizon = nyse.openTimeOf('1d', OPEN + 2 * DAY_MS);
  fc.assert(
    fc.property(deliveries, fc.boolean(), (some, sparse) => {
      const bars = sparse ? walkOf(-600, 400, 17) : walkOf(-90, 900);
      const [all, kept] = [stored(bars), stored(bars)];
      kept.forget(horizon, 161);
      kept.restart();
      const later = barsOf(some).filter(({ openTime }) => openTime >= horizon);
      for (const store of [all, kept]) store.apply(later, OPEN + 4 * DAY_MS);
      for (const interval of INTERVALS) {
        const from = interval === '1m' ? horizon : 0;
        const tail = (store: StoredCandles) => store.candles(A, interval).filter(({ openTime }) => openTime >= from);
        expect(tail(kept)).toEqual(tail(all));
      }
      expect(kept.rebuild(A, horizon)).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test('the horizon is a New York midnight, so many days before that of the clock, over a change of clocks too', () => {
  expect(horizonOf(OPEN, 2, nyse)).toBe(parseInstant('2025-05-31T04:00:00Z'));
  expect(horizonOf(parseInstant('2025-03-10T04:00:00Z')!, 2, nyse)).toBe(parseInstant('2025-03-08T05:00:00Z'));
  expect(horizonOf(parseInstant('2025-03-10T03:59:59Z')!, 2, nyse)).toBe(parseInstant('2025-03-07T05:00:00Z'));
});
