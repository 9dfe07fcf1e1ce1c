import type { CalendarKind } from '@candlewire/candles';
import { type Bar, DAY_MS, HOUR_MS, MINUTE_MS, type Tick } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { manualTime } from '../manual-time.suite';
import type { Time } from '../time';
import { createSimulatedMarket, SETTLED_AFTER_MS } from './simulated-market';
import { createSimulatorSource } from './simulator-source';
import type { Delivery, HistoryPage, Source } from './source';

/** Monday 2025-11-03 09:30 New York. */
const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const SUNDAY = Date.UTC(2025, 10, 2, 14, 30);
const SECOND_MS = 1_000;

const market = createSimulatedMarket({ seed: 1, calendar: loadCalendar('24x7') });

interface Clock extends Time {
  set(ms: number): void;
}

/** A clock that jumps to the end of each pause, and to where it is set. */
function jumpingClock(start: number): Clock {
  let now = start;
  return {
    now: () => now,
    elapsedMs: () => now,
    set: (ms) => {
      now = ms;
    },
    pause: async (ms) => {
      now += ms;
    },
  };
}

function sourceAt(start: number, symbols: readonly string[], kind: CalendarKind = '24x7') {
  const time = jumpingClock(start);
  const source = createSimulatorSource({ seed: 1, calendar: loadCalendar(kind), symbols: () => symbols, time });
  return { time, source };
}

/** What a stream delivers until its clock says `until`, inclusive. */
async function streamed(source: Source, until: number, onDelivery: (delivery: Delivery) => void = () => {}) {
  const deliveries: Delivery[] = [];
  for await (const delivery of source.live(new AbortController().signal)) {
    deliveries.push(delivery);
    onDelivery(delivery);
    if (delivery.clock !== null && delivery.clock >= until) break;
  }
  return deliveries;
}

const barsOf = (deliveries: readonly Delivery[]) => deliveries.flatMap(({ bars }) => bars);

async function historyOf(source: Source, symbol: string, from: number, to: number): Promise<(readonly Bar[])[]> {
  const pages: (readonly Bar[])[] = [];
  for await (const page of source.history!(symbol, from, to, new AbortController().signal))
    if (page.bars.length > 0) pages.push(page.bars);
  return pages;
}

describe('live', () => {
  test('is live at once, then tells the clock every second, with or without bars', async () => {
    const { source } = sourceAt(OPEN + 300, ['AAPL']);
    const deliveries = await streamed(source, OPEN + 125_000);
    expect(deliveries[0]).toEqual({ clock: null, bars: [], state: 'live' });
    expect(deliveries.slice(1).map(({ clock }) => clock)).toEqual(
      Array.from({ length: 126 }, (_, second) => OPEN + second * SECOND_MS),
    );
    expect(deliveries.slice(1).every(({ state }) => state === undefined)).toBe(true);
    const ends = deliveries.filter(({ bars }) => bars.some(({ openTime }) => openTime === OPEN));
    expect(ends[0]!.clock! - OPEN).toBeGreaterThanOrEqual(MINUTE_MS);
    expect(ends[0]!.clock! - OPEN).toBeLessThanOrEqual(MINUTE_MS + 2_000);
  });

  test('tells its kind and calendar, and refuses nothing', () => {
    expect(sourceAt(OPEN, [], 'nyse').source).toMatchObject({ kind: 'simulator', calendar: 'nyse', refused: {} });
  });

  test('after all updates every minute is what history says of it', async () => {
    const symbols = ['AAPL', 'MSFT', 'SPY', 'TSLA', 'X', 'Y'];
    const hours = 4;
    const { source, time } = sourceAt(OPEN, symbols);
    const until = OPEN + hours * HOUR_MS + MINUTE_MS + SETTLED_AFTER_MS;
    const deliveries = await streamed(source, until, () => time.set(Math.min(time.now() + 600_000, until)));
    const newest = new Map<string, Bar>();
    const revs = new Set<number>();
    for (const bar of barsOf(deliveries)) {
      if (bar.openTime < OPEN || bar.openTime >= OPEN + hours * HOUR_MS) continue;
      revs.add(bar.rev);
      const key = `${bar.symbol} ${bar.openTime}`;
      if ((newest.get(key)?.rev ?? 0) <= bar.rev) newest.set(key, bar);
    }
    expect(revs).toEqual(new Set([0, 1, 2]));

    const other = sourceAt(until + DAY_MS, []).source;
    for (const symbol of symbols) {
      const truth = (await historyOf(other, symbol, OPEN, OPEN + hours * HOUR_MS)).flat();
      const seen = [...newest.values()].filter((bar) => bar.symbol === symbol);
      expect(truth).toHaveLength(hours * 60);
      expect(seen.map((bar) => ({ ...bar, rev: 4 })).sort((a, b) => a.openTime - b.openTime)).toEqual(truth);
    }
  });

  test('one that is started again goes on as if it had never been away', async () => {
    const symbols = ['AAPL', 'MSFT', 'SPY'];
    const half = OPEN + 30 * MINUTE_MS + 10_000;
    const whole = barsOf(await streamed(sourceAt(OPEN, symbols).source, OPEN + HOUR_MS));
    const before = barsOf(await streamed(sourceAt(OPEN, symbols).source, half));
    const after = barsOf(await streamed(sourceAt(half + SECOND_MS, symbols).source, OPEN + HOUR_MS));
    expect([...before, ...after]).toEqual(whole);
    expect(after.some(({ openTime, rev }) => rev === 1 && openTime < half)).toBe(true);
  });

  test('a correction of a minute before the start comes in its time', async () => {
    const minutes = Array.from({ length: 5_000 }, (_, minute) => OPEN - minute * MINUTE_MS);
    const correction = minutes.flatMap((minute) => market.deliveries('AAPL', minute)).find(({ bar }) => bar.rev === 2)!;
    const deliveries = await streamed(sourceAt(correction.at - 5_000, ['AAPL']).source, correction.at);
    expect(deliveries.at(-1)!.bars).toContainEqual(correction.bar);
  });

  test('a reader that was slow gets all that it missed, with the clock as it was', async () => {
    const { source, time } = sourceAt(OPEN, ['AAPL', 'SPY']);
    let held = false;
    const slow = await streamed(source, OPEN + HOUR_MS, ({ clock }) => {
      if (held || clock !== OPEN + 5 * MINUTE_MS) return;
      held = true;
      time.set(OPEN + 50 * MINUTE_MS);
    });
    const prompt = await streamed(sourceAt(OPEN, ['AAPL', 'SPY']).source, OPEN + HOUR_MS);
    expect(slow.length).toBeLessThan(1_000);
    expect(barsOf(slow)).toEqual(barsOf(prompt));
    const timesOf = (deliveries: readonly Delivery[]) =>
      deliveries.flatMap(({ clock, bars }) => bars.map(() => clock!));
    const promptTimes = timesOf(prompt);
    expect(timesOf(slow).filter((time, index) => time < promptTimes[index]!)).toEqual([]);
  });

  test('many bars come in parts, of which the last alone tells the clock after them', async () => {
    const symbols = Array.from({ length: 3_000 }, (_, index) => `S${index}`);
    const { source, time } = sourceAt(OPEN + 59_000, symbols);
    const until = OPEN + 2 * MINUTE_MS + 2_000;
    const deliveries = await streamed(source, until, () => time.set(until));
    expect(barsOf(deliveries).length).toBeGreaterThan(5_500);
    expect(Math.max(...deliveries.map(({ bars }) => bars.length))).toBeLessThanOrEqual(4_000 + 6);
    const partOf = new Map<Bar, number>();
    for (const [index, { bars }] of deliveries.entries()) for (const bar of bars) partOf.set(bar, index);
    for (const [bar, index] of [...partOf].filter((_, n) => n % 10 === 0)) {
      const { at } = market.deliveries(bar.symbol, bar.openTime).find(({ bar: { rev } }) => rev === bar.rev)!;
      // No clock that was told before the bar had reached it.
      expect(deliveries[index - 1]!.clock ?? 0).toBeLessThan(at);
      expect(deliveries.slice(index).find(({ clock }) => clock! >= at)).toBeDefined();
    }
  });

  test('follows the set of symbols', async () => {
    const symbols = ['AAPL'];
    const { source } = sourceAt(OPEN, symbols);
    const deliveries = await streamed(source, OPEN + 190_000, ({ clock }) => {
      if (clock === OPEN + 70_000) symbols.push('SPY');
      if (clock === OPEN + 130_000) symbols.shift();
    });
    const seen = (from: number, to: number) =>
      [
        ...new Set(barsOf(deliveries.filter(({ clock }) => clock! >= from && clock! < to)).map(({ symbol }) => symbol)),
      ].sort();
    expect(seen(OPEN, OPEN + 70_000)).toEqual(['AAPL']);
    expect(seen(OPEN + 71_000, OPEN + 130_000)).toEqual(['AAPL', 'SPY']);
    expect(seen(OPEN + 131_000, OPEN + 191_000)).toEqual(['SPY']);
  });

  test('a clock that is set back is waited for', async () => {
    const { source, time } = sourceAt(OPEN, ['AAPL']);
    let set = false;
    const deliveries = await streamed(source, OPEN + 90_000, ({ clock }) => {
      if (set || clock !== OPEN + 61_000) return;
      set = true;
      time.set(OPEN + 30_000);
    });
    expect(set).toBe(true);
    expect(deliveries.slice(1).map(({ clock }) => clock)).toEqual(
      Array.from({ length: 91 }, (_, second) => OPEN + second * SECOND_MS),
    );
  });

  test('ends at once where it is aborted in a pause', async () => {
    const time = manualTime(OPEN);
    const calendar = loadCalendar('24x7');
    const source = createSimulatorSource({ seed: 1, calendar, symbols: () => ['AAPL'], time });
    const stop = new AbortController();
    const stream = source.live(stop.signal)[Symbol.asyncIterator]();
    await stream.next();
    await stream.next();
    const next = stream.next();
    setImmediate(() => stop.abort());
    expect(await next).toEqual({ done: true, value: undefined });
  });

  test('an exchange is silent on a Sunday, but for the clock', async () => {
    const { source } = sourceAt(SUNDAY, ['AAPL', 'SPY'], 'nyse');
    const deliveries = await streamed(source, SUNDAY + HOUR_MS);
    expect(deliveries).toHaveLength(3_602);
    expect(barsOf(deliveries)).toEqual([]);
  });
});

describe('history', () => {
  const { source, time } = sourceAt(OPEN + DAY_MS, []);

  test('comes in ascending pages of at most 1,000 true bars, from inclusive, to exclusive', async () => {
    const pages = await historyOf(source, 'AAPL', OPEN - 30_000, OPEN + 1_100 * MINUTE_MS);
    expect(pages.map((page) => page.length)).toEqual([1_000, 100]);
    expect(pages.flat()).toEqual(
      Array.from({ length: 1_100 }, (_, minute) => market.trueBar('AAPL', OPEN + minute * MINUTE_MS)),
    );
    expect(await historyOf(source, 'AAPL', OPEN, OPEN)).toEqual([]);
    expect((await historyOf(source, 'AAPL', OPEN, OPEN + 1)).flat()).toHaveLength(1);
  });

  test('holds only minutes that are over, and says how far it goes', async () => {
    for (const [seconds, minutes] of [
      [59, 0],
      [119, 1],
      [120, 2],
    ] as const) {
      time.set(OPEN + seconds * SECOND_MS);
      const pages: HistoryPage[] = [];
      for await (const page of source.history!('AAPL', OPEN, OPEN + HOUR_MS, new AbortController().signal))
        pages.push(page);
      expect(pages.map(({ bars, answeredTo }) => [bars.length, answeredTo])).toEqual([
        [minutes, OPEN + minutes * MINUTE_MS],
      ]);
    }
  });

  test('goes on to what was over only while it was read', async () => {
    time.set(OPEN + 1_001 * MINUTE_MS);
    const sizes: number[] = [];
    for await (const page of source.history!('AAPL', OPEN, OPEN + DAY_MS, new AbortController().signal)) {
      sizes.push(page.bars.length);
      if (sizes.length === 1) time.set(OPEN + 1_003 * MINUTE_MS);
    }
    expect(sizes).toEqual([1_000, 3]);
  });

  test('passes over a weekend', async () => {
    const friday = SUNDAY - 2 * DAY_MS + 5 * HOUR_MS;
    const { source } = sourceAt(OPEN + DAY_MS, [], 'nyse');
    const pages = await historyOf(source, 'AAPL', friday, OPEN + MINUTE_MS);
    expect(pages).toHaveLength(1);
    const times = pages.flat().map(({ openTime }) => openTime);
    expect(times[0]).toBe(friday);
    expect(times.at(-1)).toBe(OPEN);
    expect(times.filter((at) => at > friday + 6 * HOUR_MS && at < OPEN - 330 * MINUTE_MS)).toEqual([]);
  });

  test('ends where it is aborted', async () => {
    time.set(OPEN + 3 * DAY_MS);
    const stop = new AbortController();
    let pages = 0;
    for await (const _ of source.history!('AAPL', OPEN, OPEN + 2 * DAY_MS, stop.signal)) {
      pages++;
      stop.abort();
    }
    expect(pages).toBe(1);
  });
});

describe('ticks', () => {
  async function ticksOf(source: Source, count: number, onTick: (tick: Tick) => void = () => {}): Promise<Tick[]> {
    const ticks: Tick[] = [];
    for await (const tick of source.ticks!(new AbortController().signal)) {
      ticks.push(tick);
      onTick(tick);
      if (ticks.length === count) break;
    }
    return ticks;
  }

  test('come once a second for each symbol, at the price of the second, with the volume of the minute so far', async () => {
    const ticks = await ticksOf(sourceAt(OPEN + 700, ['AAPL', 'SPY']).source, 6);
    expect(ticks).toEqual(
      [0, 1, 2].flatMap((second) =>
        ['AAPL', 'SPY'].map((symbol) => {
          const time = OPEN + second * SECOND_MS;
          return { symbol, time, ...market.tick(symbol, time)! };
        }),
      ),
    );
  });

  test('are missed by a reader that is slow', async () => {
    const { source, time } = sourceAt(OPEN, ['AAPL']);
    const ticks = await ticksOf(source, 3, (tick) => {
      if (tick.time === OPEN + SECOND_MS) time.set(OPEN + 60_000);
    });
    expect(ticks.map((tick) => tick.time - OPEN)).toEqual([0, 1_000, 60_000]);
  });

  test('there are none while the exchange is closed, and the first at four in the morning or soon after', async () => {
    const four = OPEN - 330 * MINUTE_MS;
    const [first] = await ticksOf(sourceAt(four - HOUR_MS, ['AAPL'], 'nyse').source, 1);
    expect(first!.time).toBeGreaterThanOrEqual(four);
    expect(first!.time).toBeLessThan(four + 10 * MINUTE_MS);
  });

  test('end where they are aborted', async () => {
    const stop = new AbortController();
    let ticks = 0;
    for await (const _ of sourceAt(OPEN, ['AAPL', 'SPY']).source.ticks!(stop.signal)) {
      ticks++;
      stop.abort();
    }
    expect(ticks).toBe(1);
  });
});
