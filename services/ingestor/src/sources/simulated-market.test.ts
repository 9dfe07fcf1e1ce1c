import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { CalendarKind } from '@candlewire/candles';
import { type Bar, DAY_MS, HOUR_MS, MINUTE_MS, parseBar } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import fc from 'fast-check';
import { createSimulatedMarket, SETTLED_AFTER_MS, type SimulatedDelivery } from './simulated-market';

const ROOT = join(__dirname, '../../../..');
/** Monday 2025-11-03, midnight and 09:30 in New York. */
const MIDNIGHT = Date.UTC(2025, 10, 3, 5);
const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const SECOND_MS = 1_000;

const calendars = { '24x7': loadCalendar('24x7'), nyse: loadCalendar('nyse') };
const marketOf = (kind: CalendarKind, seed = 1) => createSimulatedMarket({ seed, calendar: calendars[kind] });
const open = marketOf('24x7');
const nyse = marketOf('nyse');
const minutesFrom = (from: number, count: number) => Array.from({ length: count }, (_, m) => from + m * MINUTE_MS);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const symbolsOf = (count: number) => Array.from({ length: count }, (_, index) => `S${index}`);

const anyKind = fc.constantFrom<CalendarKind>('24x7', 'nyse');
const anySymbol = fc.constantFrom('AAPL', 'BRK.B', 'SPY', 'X', 'ZZZZ');
/** Of the years 1990 to 2060, most of them in a session. */
const anyMinute = fc
  .tuple(fc.integer({ min: 7_305, max: 33_237 }), fc.integer({ min: 8 * 60, max: 25 * 60 }))
  .map(([day, minute]) => day * DAY_MS + minute * MINUTE_MS);

describe('a simulated market', () => {
  // What is stored somewhere was computed by these numbers: history must not differ from it after an upgrade.
  test('is the one that it has always been', () => {
    expect(open.trueBar('AAPL', OPEN)).toEqual({
      symbol: 'AAPL',
      openTime: OPEN,
      open: 268.45,
      high: 268.49,
      low: 268.4,
      close: 268.49,
      volume: 41467,
      tradeCount: 449,
      vwap: 268.4356,
      rev: 4,
    });
    expect(nyse.trueBar('XYZ', OPEN)).toEqual({
      symbol: 'XYZ',
      openTime: OPEN,
      open: 55.74,
      high: 55.74,
      low: 55.71,
      close: 55.71,
      volume: 33099,
      tradeCount: 360,
      vwap: 55.7319,
      rev: 4,
    });
    expect(open.priceAt('MSFT', Date.UTC(1999, 11, 31, 23, 59, 59))).toBe(583.51);
  });

  test('is the same in another instance, whatever that was asked before', () => {
    fc.assert(
      fc.property(anyKind, fc.array(fc.tuple(anySymbol, anyMinute), { maxLength: 20 }), (kind, asked) => {
        const first = marketOf(kind, 7);
        const answers = asked.map(([symbol, minute]) => first.deliveries(symbol, minute));
        const second = marketOf(kind, 7);
        const again = asked.toReversed().map(([symbol, minute]) => second.deliveries(symbol, minute));
        expect(again.toReversed()).toEqual(answers);
      }),
      { numRuns: 50 },
    );
  });

  test('is the same in another process', () => {
    const script = `
      const { transformFileSync } = require('@swc/core');
      const Module = require('node:module');
      const find = Module._resolveFilename;
      Module._resolveFilename = (name, ...rest) =>
        find(name.startsWith('@candlewire/') ? process.cwd() + '/packages/' + name.slice(12) + '/src/index.ts' : name, ...rest);
      const options = { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } };
      require.extensions['.ts'] = (module, path) => module._compile(transformFileSync(path, options).code, path);
      const { createCalendar } = require('@candlewire/candles');
      const { createSimulatedMarket } = require(${JSON.stringify(join(__dirname, 'simulated-market.ts'))});
      const market = createSimulatedMarket({ seed: 1, calendar: createCalendar('24x7', '') });
      const found = [];
      for (let minute = 300; minute-- > 0; ) {
        for (const symbol of ['SPY', 'AAPL']) found.push(market.deliveries(symbol, ${OPEN} + minute * 60000));
      }
      console.log(JSON.stringify(found));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { cwd: ROOT, encoding: 'utf8' });
    expect(stderr).toBe('');
    const here = minutesFrom(OPEN, 300).flatMap((minute) => ['AAPL', 'SPY'].map((s) => open.deliveries(s, minute)));
    expect(JSON.parse(stdout).reverse()).toEqual(here);
  });

  test('is another one with another seed, and for each symbol', () => {
    const closes = (bars: readonly (Bar | null)[]) => bars.map((bar) => bar!.close / bars[0]!.open);
    const minutes = minutesFrom(OPEN, 30);
    const paths = [
      closes(minutes.map((minute) => open.trueBar('AAPL', minute))),
      closes(minutes.map((minute) => open.trueBar('MSFT', minute))),
      closes(minutes.map((minute) => marketOf('24x7', 2).trueBar('AAPL', minute))),
    ];
    expect(new Set(paths.map((path) => path.join())).size).toBe(3);
    expect(paths[0]![29]).not.toBeCloseTo(paths[2]![29]!, 5);
  });

  test("a bar is the fold of its minute's ticks", () => {
    const seconds = Array.from({ length: 60 }, (_, second) => second * SECOND_MS);
    fc.assert(
      fc.property(anyKind, anySymbol, anyMinute, (kind, symbol, minute) => {
        const market = kind === 'nyse' ? nyse : open;
        const bar = market.trueBar(symbol, minute);
        const ticks = seconds.map((ms) => market.tick(symbol, minute + ms)).filter((tick) => tick !== null);
        if (bar === null) return expect(ticks).toEqual([]);
        const prices = ticks.map(({ price }) => price);
        const volume = ticks.at(-1)!.volume;
        const turnover = ticks.reduce(
          (sum, tick, n) => sum + (tick.volume - (ticks[n - 1]?.volume ?? 0)) * tick.price,
          0,
        );
        for (const [n, tick] of ticks.entries()) expect(tick.volume).toBeGreaterThan(ticks[n - 1]?.volume ?? 0);
        expect(bar).toMatchObject({ open: prices[0], close: prices.at(-1), volume, rev: 4 });
        expect(bar).toMatchObject({ high: Math.max(...prices), low: Math.min(...prices) });
        expect(bar.vwap).toBeCloseTo(turnover / volume, 3);
        expect(bar.vwap! >= bar.low && bar.vwap! <= bar.high).toBe(true);
        expect(bar.tradeCount).toBeGreaterThanOrEqual(ticks.length);
        expect(parseBar(bar, minute)).toEqual(bar);
      }),
      { numRuns: 200 },
    );
  });

  test("a tick's price is the price at its second", () => {
    fc.assert(
      fc.property(anySymbol, anyMinute, fc.nat(59_999), (symbol, minute, ms) => {
        expect(open.tick(symbol, minute + ms)!.price).toBe(open.priceAt(symbol, minute + ms));
      }),
      { numRuns: 50 },
    );
  });
});

describe('deliveries', () => {
  test('begin after the end of the minute, are ordered, and end in the truth', () => {
    fc.assert(
      fc.property(anyKind, fc.nat(1_000), anySymbol, anyMinute, (kind, seed, symbol, minute) => {
        const market = marketOf(kind, seed);
        const deliveries = market.deliveries(symbol, minute);
        const truth = market.trueBar(symbol, minute);
        if (truth === null) return expect(deliveries).toEqual([]);
        const times = deliveries.map(({ at }) => at);
        const revs = deliveries.map(({ bar }) => bar.rev);
        expect(new Set(times).size).toBe(times.length);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        expect(revs).toEqual([...new Set(revs)].sort());
        expect(times.every((at) => at % SECOND_MS === 0)).toBe(true);
        expect(times[0]).toBeGreaterThanOrEqual(minute + MINUTE_MS);
        expect(times.at(-1)).toBeLessThanOrEqual(minute + MINUTE_MS + SETTLED_AFTER_MS);
        expect({ ...deliveries.at(-1)!.bar, rev: 4 }).toEqual(truth);
        for (const { bar } of deliveries) expect(parseBar(bar, minute)).toEqual(bar);
      }),
      { numRuns: 2_000 },
    );
  });

  test('are late, updated and corrected as often as they are meant to be', () => {
    const minutes = minutesFrom(MIDNIGHT, 1_440);
    const all = symbolsOf(20).flatMap((symbol) => minutes.map((minute) => open.deliveries(symbol, minute)));
    const share = (part: readonly unknown[]) => part.length / all.length;
    /** After the minute's end. */
    const delayOf = ({ at, bar }: SimulatedDelivery) => at - bar.openTime - MINUTE_MS;

    const [late, punctual] = [true, false].map((is) => all.filter(([first]) => delayOf(first!) > 2_000 === is));
    expect(new Set(punctual!.map(([first]) => delayOf(first!)))).toEqual(new Set([0, 1_000, 2_000]));
    expect(share(late!)).toBeGreaterThan(0.007);
    expect(share(late!)).toBeLessThan(0.013);
    for (const [first, ...more] of late!) {
      expect(delayOf(first!)).toBeGreaterThanOrEqual(MINUTE_MS);
      expect(delayOf(first!)).toBeLessThanOrEqual(5 * MINUTE_MS);
      expect(more).toEqual([]);
    }

    const updated = all.filter(({ length }) => length > 1);
    expect(share(updated)).toBeGreaterThan(0.035);
    expect(share(updated)).toBeLessThan(0.046);
    for (const [first, second] of updated) {
      expect([first!.bar.rev, second!.bar.rev]).toEqual([0, 1]);
      expect(delayOf(second!)).toBeGreaterThanOrEqual(28_000);
      expect(delayOf(second!)).toBeLessThanOrEqual(32_000);
      expect(first!.bar.volume).toBeLessThan(second!.bar.volume);
    }

    // 14 of 28,800 on average.
    const corrected = all.filter(({ length }) => length > 2);
    expect(corrected.length).toBeGreaterThan(2);
    expect(corrected.length).toBeLessThan(31);
    for (const [, second, third, ...more] of corrected) {
      expect(third!.bar.rev).toBe(2);
      expect([2, 6, 25].map((hours) => hours * HOUR_MS)).toContain(delayOf(third!));
      expect(second!.bar.high - second!.bar.low).toBeGreaterThan(third!.bar.high - third!.bar.low);
      expect(more).toEqual([]);
    }
  });

  test.each(['24x7', 'nyse'] as const)('fall due, second by second, all of them and each once (%s)', (kind) => {
    // A seed with corrections in these hours.
    const market = marketOf(kind, 6);
    const [from, to] = [OPEN + 5 * HOUR_MS, OPEN + 11 * HOUR_MS];
    const symbols = symbolsOf(6);
    const text = (bar: Bar, at: number) => `${at} ${JSON.stringify(bar)}`;
    const expected = symbols.flatMap((symbol) =>
      minutesFrom(from - 26 * HOUR_MS, 32 * 60)
        .flatMap((minute) => market.deliveries(symbol, minute))
        .filter(({ at }) => at >= from && at < to)
        .map(({ at, bar }) => ({ rev: bar.rev, text: text(bar, at) })),
    );
    const found = symbols.flatMap((symbol) =>
      Array.from({ length: (to - from) / SECOND_MS }, (_, second) => from + second * SECOND_MS).flatMap((at) =>
        market.due(symbol, at).map((bar) => text(bar, at)),
      ),
    );
    expect(new Set(expected.map(({ rev }) => rev))).toEqual(new Set([0, 1, 2]));
    expect(found.toSorted()).toEqual(expected.map(({ text }) => text).toSorted());
  });
});

describe('what it looks like', () => {
  test('a price is positive, in cents, and stays near its base over decades', () => {
    fc.assert(
      fc.property(fc.nat(100), anySymbol, anyMinute, (seed, symbol, minute) => {
        const price = marketOf('24x7', seed).priceAt(symbol, minute);
        expect(price).toBe(Math.round(price * 100) / 100);
        expect(price).toBeGreaterThan(5);
        expect(price).toBeLessThan(2_000);
      }),
    );
    const prices = Array.from({ length: 2_000 }, (_, week) => open.priceAt('AAPL', MIDNIGHT - week * 7 * DAY_MS));
    expect(Math.min(...prices)).toBeGreaterThan(70);
    expect(Math.max(...prices)).toBeLessThan(700);
    expect(Math.max(...prices) / Math.min(...prices)).toBeGreaterThan(1.5);
  });

  /** Root of the mean square change over a time, in units of 1. */
  function changeOver(ms: number): number {
    const squares = symbolsOf(20).flatMap((symbol) =>
      Array.from({ length: 100 }, (_, index) => {
        const at = MIDNIGHT - index * 1_000_003 * SECOND_MS;
        return (open.priceAt(symbol, at + ms) / open.priceAt(symbol, at) - 1) ** 2;
      }),
    );
    return Math.sqrt(mean(squares));
  }

  test('a day changes it by one or two percent, as a random walk does: by the square root of the time', () => {
    const day = changeOver(DAY_MS);
    expect(day).toBeGreaterThan(0.01);
    expect(day).toBeLessThan(0.02);
    expect(changeOver(HOUR_MS) / day).toBeCloseTo(Math.sqrt(1 / 24), 1);
    expect(changeOver(30 * DAY_MS) / day).toBeGreaterThan(4);
    expect(changeOver(30 * DAY_MS) / day).toBeLessThan(7);
  });

  test('a minute spans a few hundredths of a percent', () => {
    const spans = minutesFrom(OPEN, 390).map((minute) => {
      const bar = nyse.trueBar('SPY', minute)!;
      return (bar.high - bar.low) / bar.low;
    });
    expect(mean(spans)).toBeGreaterThan(0.0002);
    expect(mean(spans)).toBeLessThan(0.002);
  });

  const volumeOf = (market: typeof open, from: number, minutes: number) =>
    mean(
      symbolsOf(10).flatMap((s) => minutesFrom(from, minutes).map((minute) => market.trueBar(s, minute)?.volume ?? 0)),
    );

  test('an exchange is busiest at its open and close, quieter at noon, and nearly silent before and after', () => {
    const [pre, first, noon, last, post] = [-3, 0, 3, 6, 8].map((hours) => volumeOf(nyse, OPEN + hours * HOUR_MS, 30));
    expect(first! / noon!).toBeGreaterThan(1.8);
    expect(last! / noon!).toBeGreaterThan(1.8);
    expect(first! / noon!).toBeLessThan(4);
    for (const thin of [pre!, post!]) {
      expect(thin).toBeGreaterThan(0);
      expect(thin).toBeLessThan(noon! / 10);
    }
  });

  test('a market that never closes is a little busier by day', () => {
    const ratio = volumeOf(open, MIDNIGHT + 11 * HOUR_MS, 120) / volumeOf(open, MIDNIGHT, 120);
    expect(ratio).toBeGreaterThan(1.3);
    expect(ratio).toBeLessThan(2.5);
  });

  test('every minute of a regular session has a bar; before and after one in six has none', () => {
    const missing = (from: number, count: number) =>
      mean(minutesFrom(from, count).map((minute) => (nyse.trueBar('AAPL', minute) === null ? 1 : 0)));
    expect(missing(OPEN, 390)).toBe(0);
    expect(missing(OPEN - 330 * MINUTE_MS, 330)).toBeCloseTo(1 / 6, 1);
    expect(missing(OPEN + 390 * MINUTE_MS, 240)).toBeCloseTo(1 / 6, 1);
  });
});

describe('a closed exchange', () => {
  test.each([
    ['a Sunday', MIDNIGHT - DAY_MS, 24],
    ['a holiday', Date.UTC(2025, 11, 25, 5), 24],
    ['the evening of a half day', Date.UTC(2025, 10, 28, 22), 7],
    ['a night', MIDNIGHT, 4],
  ])('%s has no bars and no ticks', (_, from, hours) => {
    const minutes = minutesFrom(from, hours * 60);
    expect(minutes.filter((minute) => nyse.trueBar('AAPL', minute) !== null)).toEqual([]);
    expect(minutes.filter((minute) => nyse.deliveries('AAPL', minute).length > 0)).toEqual([]);
    expect(minutes.filter((minute) => nyse.tick('AAPL', minute) !== null)).toEqual([]);
    expect(nyse.priceAt('AAPL', from)).toBeGreaterThan(0);
  });

  test('on a Sunday nothing at all is delivered, corrections of the Friday included', () => {
    const symbols = symbolsOf(200);
    const corrected = minutesFrom(MIDNIGHT - DAY_MS, 1_440).flatMap((at) => symbols.flatMap((s) => nyse.due(s, at)));
    expect(corrected).toEqual([]);
    const saturday = minutesFrom(MIDNIGHT - 2 * DAY_MS, 1_440).flatMap((at) => symbols.flatMap((s) => nyse.due(s, at)));
    expect(saturday.some(({ rev }) => rev === 2)).toBe(true);
  });
});
