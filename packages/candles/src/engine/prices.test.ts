import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bar, DAY_MS, MINUTE_MS, type PriceUpdate, parseInstant } from '@candlewire/contracts';
import { advance, createCalendar, SymbolState } from '../index';

const calendar = createCalendar('nyse', readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8'));
const rules = { calendar, graceMs: 35_000 };
/** A Monday, 15:59 in New York: the last regular minute. */
const LAST = parseInstant('2025-06-02T19:59:00Z')!;

function bar(openTime: number, close: number, rev: Bar['rev'] = 0): Bar {
  return {
    symbol: 'A',
    openTime,
    open: close,
    high: close,
    low: close,
    close,
    volume: 100,
    tradeCount: 1,
    vwap: close,
    rev,
  };
}

const nothing = { seq: 0, head: null, past: { closes: [], avgGain: 0, avgLoss: 0, avgRange: 0 }, firstOpen: null };

function empty(): SymbolState {
  const loading = SymbolState.load('A', rules);
  loading.next([]);
  return loading.next([{ '1m': nothing, '5m': nothing, '1h': nothing, '1d': nothing }]).value as SymbolState;
}

/** Only minutes from the head on: all that may be read is which older candles turn final, and that tells no price. */
function price(state: SymbolState, ...bars: Bar[]): PriceUpdate | null {
  const run = advance(state, bars, bars.at(-1)!.openTime, rules);
  let step = run.next([]);
  while (!step.done) {
    expect(step.value.map(({ kind }) => kind)).toEqual(step.value.map(() => 'open'));
    step = run.next(step.value.map(() => []));
  }
  return step.value.price;
}

test('the change is against the close of the last 1d candle before the New York date of the price', () => {
  const state = empty();
  expect(price(state, bar(LAST, 100))).toMatchObject({ price: 100, change: null, change_percent: null });
  // After the close of the same date, and past midnight UTC: still Monday in New York.
  expect(price(state, bar(LAST + 5 * 60 * MINUTE_MS, 90))).toMatchObject({ price: 90, change: null });
  // Tuesday before the open: there is no 1d candle of the day yet, and Monday's close is that of its last regular minute.
  const tuesday = parseInstant('2025-06-03T12:00:00Z')!;
  expect(price(state, bar(tuesday, 110))).toEqual({
    type: 'price_update',
    symbol: 'A',
    price: 110,
    change: 10,
    change_percent: 10,
    timestamp: '2025-06-03T12:00:00Z',
    volume: 100,
  });
  // During the session the day's own candle does not count.
  expect(price(state, bar(LAST + DAY_MS, 95))).toMatchObject({ price: 95, change: -5, change_percent: -5 });
  expect(price(state, bar(LAST + 2 * DAY_MS, 95))).toMatchObject({ price: 95, change: 0, change_percent: 0 });
});

test('a tick tells the price until a newer minute does, over the change of the day too', () => {
  const state = empty();
  price(state, bar(LAST, 100));
  const tick = (time: number, at: number) => state.tick({ symbol: 'A', price: at, time, volume: 7 }, calendar);
  expect(tick(LAST + 65_000, 101)).toMatchObject({
    price: 101,
    change: null,
    timestamp: '2025-06-02T20:00:05Z',
    volume: 7,
  });
  expect(tick(LAST + 64_000, 102)).toBeNull();
  expect(tick(LAST + 65_000, 101)).toBeNull();
  // The bar of a minute that ticks have already told more of is no news.
  expect(price(state, bar(LAST + MINUTE_MS, 100.5))).toBeNull();
  expect(tick(LAST + 9 * 60 * MINUTE_MS, 110)).toMatchObject({ price: 110, change: 10 });
  expect(price(state, bar(LAST + 10 * 60 * MINUTE_MS, 120))).toMatchObject({ price: 120, change: 20 });
});

test('what is delivered again tells no price again', () => {
  const state = empty();
  expect(price(state, bar(LAST, 100))).not.toBeNull();
  expect(price(state, bar(LAST, 100))).toBeNull();
  expect(price(state, bar(LAST, 101, 1))).toMatchObject({ price: 101 });
});
