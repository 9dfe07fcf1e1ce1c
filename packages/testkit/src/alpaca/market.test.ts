import { type Bar, DAY_MS, HOUR_MS, isRefusal, MINUTE_MS, parseBar } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { MONDAY_OPEN } from '../bars';
import { BAR_DELAY_MS, createAlpacaMarket, UPDATE_DELAY_MS } from './market';

const market = createAlpacaMarket();
const MINUTES = Array.from({ length: 390 }, (_, minute) => MONDAY_OPEN + minute * MINUTE_MS);
const LATER = MONDAY_OPEN + 7 * DAY_MS;
const priced = ({ rev: _, ...bar }: Bar) => bar;

test('the same seed gives the same market, another seed another', () => {
  const history = (seed: number) => createAlpacaMarket({ seed }).history('AAPL', MONDAY_OPEN, LATER, LATER);
  expect(history(1)).toEqual(history(1));
  expect(history(2)).not.toEqual(history(1));
});

test('every bar is one', () => {
  for (const symbol of market.symbols.slice(0, 2)) {
    for (const minute of MINUTES) {
      for (const bar of [market.first, market.updated, market.settled].map((version) => version(symbol, minute))) {
        if (bar !== null) expect(isRefusal(parseBar(bar, minute))).toBe(false);
      }
    }
  }
});

test('some minutes are quiet, some updated, some corrected, and not all', () => {
  const count = (matches: (minute: number) => boolean) => MINUTES.filter(matches).length;
  const reported = (minute: number) => market.updated('AAPL', minute) ?? market.first('AAPL', minute);
  const quiet = count((minute) => market.settled('AAPL', minute) === null);
  const updated = count((minute) => market.updated('AAPL', minute) !== null);
  const corrected = count((minute) => {
    const [before, after] = [reported(minute), market.settled('AAPL', minute)];
    return after !== null && before!.vwap !== after.vwap;
  });
  expect(quiet).toBeGreaterThan(5);
  expect(quiet).toBeLessThan(50);
  expect(updated).toBeGreaterThan(15);
  expect(updated).toBeLessThan(80);
  expect(corrected).toBeGreaterThan(1);
  expect(corrected).toBeLessThan(30);
});

test('bars are what the trades that were told by then make', () => {
  for (const minute of MINUTES) {
    const trades = market.trades('AAPL', minute);
    const onTime = trades.filter(({ reportedAt, time }) => reportedAt === time);
    const folded = (some: typeof trades) => some.reduce((sum, { size }) => sum + size, 0);
    expect(market.first('AAPL', minute)?.volume ?? 0).toBe(folded(onTime));
    const whole = market.updated('AAPL', minute) ?? market.first('AAPL', minute);
    expect(whole?.tradeCount ?? 0).toBe(trades.length);
    expect(whole?.high).toBe(trades.length > 0 ? Math.max(...trades.map(({ price }) => price)) : undefined);
    expect(whole?.close).toBe(trades.at(-1)?.price);
    for (const { time } of trades) expect(Math.floor(time / MINUTE_MS) * MINUTE_MS).toBe(minute);
  }
});

test('history tells nothing before the stream, then the same, then the truth', () => {
  for (const minute of MINUTES) {
    const end = minute + MINUTE_MS;
    const at = (ms: number) => market.asOf('AAPL', minute, ms);
    const first = market.first('AAPL', minute);
    const last = market.updated('AAPL', minute) ?? first;
    const settled = market.settledAt(minute);
    expect(at(end + BAR_DELAY_MS - 1)).toBeNull();
    expect(at(end + BAR_DELAY_MS) && priced(at(end + BAR_DELAY_MS)!)).toEqual(first && priced(first));
    expect(at(end + UPDATE_DELAY_MS) && priced(at(end + UPDATE_DELAY_MS)!)).toEqual(last && priced(last));
    expect(at(settled - 1) && priced(at(settled - 1)!)).toEqual(last && priced(last));
    expect(at(settled)).toEqual(market.settled('AAPL', minute));
    expect(settled).toBeGreaterThan(MONDAY_OPEN + 6.5 * HOUR_MS);
    expect(settled).toBeLessThan(MONDAY_OPEN + 2 * DAY_MS);
  }
});

test('the exchange sleeps at night and over the weekend', () => {
  const times = market
    .history('AAPL', MONDAY_OPEN - 5 * DAY_MS, MONDAY_OPEN, MONDAY_OPEN)
    .map(({ openTime }) => openTime);
  expect(times.length).toBeGreaterThan(1_000);
  expect(times.filter((ms) => market.calendar.statusOf(ms) === 'closed')).toEqual([]);
  const always = createAlpacaMarket({ calendar: loadCalendar('24x7'), chances: { quiet: 0 } });
  expect(always.history('SPY', MONDAY_OPEN - DAY_MS, MONDAY_OPEN, LATER)).toHaveLength(1_440);
});

test('a day has the prices of its regular session and the volume of all', () => {
  const from = market.calendar.openTimeOf('1d', MONDAY_OPEN);
  const day = market.day('AAPL', MONDAY_OPEN, LATER)!;
  const minutes = market.history('AAPL', from, market.calendar.nextDay(from), LATER);
  const regular = minutes.filter(({ openTime }) => market.calendar.statusOf(openTime) === 'regular');
  expect(day).toMatchObject({
    openTime: from,
    open: regular[0]!.open,
    high: Math.max(...regular.map(({ high }) => high)),
    close: regular.at(-1)!.close,
    volume: minutes.reduce((sum, { volume }) => sum + volume, 0),
  });
  expect(market.day('AAPL', MONDAY_OPEN, MONDAY_OPEN)).toBeNull();
});

test('an unlisted symbol has no data', () => {
  expect(market.isListed('NONE')).toBe(false);
  expect(market.first('NONE', MONDAY_OPEN)).toBeNull();
  expect(market.trades('NONE', MONDAY_OPEN)).toEqual([]);
});
