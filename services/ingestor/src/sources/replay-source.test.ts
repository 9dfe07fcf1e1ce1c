import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MINUTE_MS, toIso } from '@candlewire/contracts';
import { type Fields, type Logger, loadCalendar, silentLogger } from '@candlewire/runtime';
import { leapingTime, manualTime } from '../manual-time.suite';
import { createReplaySource, type ReplayOptions } from './replay-source';
import type { Delivery } from './source';

const PLAIN = 'symbol,timestamp,open,high,low,close,volume';
const LOG = 'seq,arrival,kind,rev,symbol,ts,open,high,low,close,volume,trade_count,vwap';
/** Monday 2025-11-03 09:30 New York. */
const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const GRACE_MS = 35_000;

const calendar = loadCalendar('nyse');
const folder = mkdtempSync(join(tmpdir(), 'replay-'));
afterAll(() => rmSync(folder, { recursive: true }));

const plain = (symbol: string, openTime: number) => `${symbol},${toIso(openTime)},10,11,9,10,100`;
const delivered = (arrival: number, openTime = OPEN) => `1,${toIso(arrival)},b,0,AAPL,${toIso(openTime)},1,1,1,1,1,1,1`;

let files = 0;
function sourceOf(lines: readonly string[], options: Partial<ReplayOptions> = {}) {
  const file = join(folder, `${files++}.csv`);
  writeFileSync(file, lines.join('\n'));
  const time = leapingTime();
  const defaults = { file, speed: Number.POSITIVE_INFINITY, graceMs: GRACE_MS, calendar, time, logger: silentLogger };
  return { time, source: createReplaySource({ ...defaults, ...options }) };
}

async function all(deliveries: AsyncIterable<Delivery>): Promise<Delivery[]> {
  const found: Delivery[] = [];
  for await (const delivery of deliveries) found.push(delivery);
  return found;
}

const symbolsOf = (deliveries: readonly Delivery[]) =>
  deliveries.map(({ bars }) => bars.map(({ symbol }) => symbol).join());
const live = () => new AbortController().signal;

describe('at max', () => {
  test('goes live, delivers in order, finishes', async () => {
    const { source, time } = sourceOf([PLAIN, plain('B', OPEN), plain('A', OPEN), plain('A', OPEN + MINUTE_MS)]);
    const deliveries = await all(source.live(live()));
    expect(deliveries.map(({ state }) => state)).toEqual(['live', undefined, 'finished']);
    expect(symbolsOf(deliveries)).toEqual(['', 'B,A,A', '']);
    expect(deliveries[1]!.clock).toBe(OPEN + 2 * MINUTE_MS);
    expect(time.pauses).toEqual([]);
  });

  test('a delivery holds at most 4,000 bars, and its clock is the one after the last of them', async () => {
    const { source } = sourceOf([PLAIN, ...Array.from({ length: 9_000 }, (_, m) => plain('A', OPEN + m * MINUTE_MS))]);
    const deliveries = await all(source.live(live()));
    expect(deliveries.map(({ bars }) => bars.length)).toEqual([0, 4_000, 4_000, 1_000, 0]);
    expect(deliveries.slice(1, 4).map(({ clock }) => (clock! - OPEN) / MINUTE_MS)).toEqual([4_000, 8_000, 9_000]);
  });

  test('plays the file from its start at each call', async () => {
    const { source } = sourceOf([PLAIN, plain('A', OPEN), 'x']);
    const first = await all(source.live(live()));
    expect(await all(source.live(live()))).toEqual(first);
    expect(source.refused).toEqual({ wrong_field_count: 2 });
  });
});

describe('with a speed', () => {
  test('lines are taken together that no time lies between', async () => {
    const minutes = [0, 0, 1, 0, 1].map((m, index) => plain('ABCDE'[index]!, OPEN + m * MINUTE_MS));
    const { source, time } = sourceOf([PLAIN, ...minutes], { speed: 1 });
    expect(symbolsOf(await all(source.live(live())))).toEqual(['', 'A,B', 'C,D,E', '']);
    expect(time.pauses).toEqual([MINUTE_MS]);
  });

  test('the time between deliveries of a log is that between arrivals, divided by the factor', async () => {
    const arrivals = [0, 1_000, 1_500, 61_500].map((ms) => delivered(OPEN + MINUTE_MS + ms));
    const { source, time } = sourceOf([LOG, ...arrivals], { speed: 10 });
    expect(await all(source.live(live()))).toHaveLength(6);
    expect(time.pauses).toEqual([100, 50, 6_000]);
  });

  test('a factor below one stretches it', async () => {
    const { source, time } = sourceOf([PLAIN, plain('A', OPEN), plain('A', OPEN + MINUTE_MS)], { speed: 0.5 });
    await all(source.live(live()));
    expect(time.pauses).toEqual([2 * MINUTE_MS]);
  });

  test('a wait that is longer than any timer is made of several', async () => {
    const { source, time } = sourceOf([PLAIN, plain('A', OPEN), plain('A', OPEN + 60 * MINUTE_MS)], { speed: 0.001 });
    await all(source.live(live()));
    expect(Math.max(...time.pauses)).toBe(86_400_000);
    expect(time.pauses.reduce((sum, ms) => sum + ms)).toBe(60_000 * MINUTE_MS);
  });

  test('a gap to another New York date is cut to a second, one within a date is not', async () => {
    const evening = Date.UTC(2025, 10, 4, 0, 58); // Monday 19:58 New York
    const times = [OPEN, evening, Date.UTC(2025, 10, 4, 9, 0), Date.UTC(2025, 10, 7, 9, 0)];
    const { source, time } = sourceOf([PLAIN, ...times.map((at) => plain('A', at))], { speed: 1 });
    await all(source.live(live()));
    expect(time.pauses).toEqual([evening - OPEN, 1_000, 1_000]);
  });

  test('a gap between dates that is shorter than a second stays as it is', async () => {
    const { source, time } = sourceOf([PLAIN, plain('A', OPEN), plain('A', OPEN + 86_400_000)], { speed: 864_000 });
    await all(source.live(live()));
    expect(time.pauses).toEqual([100]);
  });

  test('keeps to its schedule while its reader takes its time, and hurries by no more than a second', async () => {
    const time = manualTime();
    const begin = time.now();
    const pauses: number[] = [];
    const pause = async (ms: number) => {
      pauses.push(ms);
      time.advance(ms);
    };
    const { source } = sourceOf([PLAIN, ...[0, 1, 2, 3].map((m) => plain('A', OPEN + m * MINUTE_MS))], {
      speed: 1,
      time: { ...time, pause },
    });
    for await (const { clock } of source.live(live())) {
      if (clock === OPEN + MINUTE_MS) time.advance(20_000);
      if (clock === OPEN + 2 * MINUTE_MS) {
        expect(time.now() - begin).toBe(MINUTE_MS);
        time.advance(300_000);
      }
    }
    expect(pauses).toEqual([40_000, 59_000]);
  });

  test('does not notice that somebody sets the wall clock', async () => {
    const time = manualTime();
    const pauses: number[] = [];
    const pause = async (ms: number) => {
      pauses.push(ms);
      time.advance(ms);
    };
    const { source } = sourceOf([PLAIN, ...[0, 1, 2].map((m) => plain('A', OPEN + m * MINUTE_MS))], {
      speed: 1,
      time: { ...time, pause },
    });
    for await (const { clock } of source.live(live())) {
      if (clock === OPEN + MINUTE_MS) time.set(time.now() - 60 * MINUTE_MS);
      if (clock === OPEN + 2 * MINUTE_MS) time.set(time.now() + 120 * MINUTE_MS);
    }
    expect(pauses).toEqual([MINUTE_MS, MINUTE_MS]);
  });

  test('ends at once where it is aborted in a pause', async () => {
    const time = manualTime();
    const { source } = sourceOf([PLAIN, plain('A', OPEN), plain('B', OPEN + MINUTE_MS)], { speed: 1, time });
    const stop = new AbortController();
    const stream = source.live(stop.signal)[Symbol.asyncIterator]();
    await stream.next();
    expect((await stream.next()).value.bars).toHaveLength(1);
    const next = stream.next();
    setImmediate(() => stop.abort());
    expect(await next).toEqual({ done: true, value: undefined });
  });
});

describe('the last clock', () => {
  const last = async (lines: readonly string[]) => (await all(sourceOf(lines).source.live(live()))).at(-1)!;

  test.each([
    ['in winter', Date.UTC(2025, 10, 3, 14, 30), Date.UTC(2025, 10, 4, 5)],
    ['in summer', Date.UTC(2025, 6, 3, 14, 30), Date.UTC(2025, 6, 4, 4)],
    ['late in the evening', Date.UTC(2025, 10, 4, 4, 59), Date.UTC(2025, 10, 4, 5)],
    ['at the change to summer time', Date.UTC(2026, 2, 8, 12, 0), Date.UTC(2026, 2, 9, 4)],
  ])('%s passes the New York midnight after the last bar, and the grace', async (_, openTime, midnight) => {
    const { clock, state } = await last([PLAIN, plain('A', openTime)]);
    expect(state).toBe('finished');
    expect(clock).toBe(midnight + GRACE_MS + MINUTE_MS);
  });

  test('looks at the newest bar, not at the last line', async () => {
    const { clock } = await last([PLAIN, plain('A', OPEN), plain('B', OPEN - 5 * 86_400_000)]);
    expect(clock).toBe(Date.UTC(2025, 10, 4, 5) + GRACE_MS + MINUTE_MS);
  });

  test('never goes back behind an arrival', async () => {
    const arrival = OPEN + 10 * 86_400_000;
    expect((await last([LOG, delivered(arrival)])).clock).toBe(arrival);
  });

  test('is none where there was no bar', async () => {
    expect(await last([PLAIN])).toEqual({ clock: null, bars: [], state: 'finished' });
  });
});

describe('what is wrong', () => {
  test('malformed lines are logged with their number and reason, skipped and counted', async () => {
    const logged: Fields[] = [];
    const logger: Logger = { ...silentLogger, warn: (_event, fields) => logged.push(fields!) };
    const bad = plain('A', OPEN).replace('100', 'many');
    const { source } = sourceOf([PLAIN, bad, plain('A', OPEN), 'x', ...Array(1_000).fill(bad)], { logger });
    expect(symbolsOf(await all(source.live(live())))).toEqual(['', 'A', '']);
    expect(source.refused).toEqual({ not_a_number: 1_001, wrong_field_count: 1 });
    expect(logged.slice(0, 3)).toEqual([
      { line: 2, reason: 'not_a_number' },
      { line: 4, reason: 'wrong_field_count' },
      { line: 5, reason: 'not_a_number' },
    ]);
    expect(logged.length).toBeLessThan(20);
  });

  test('an unknown header is an error before anything is said to be live', async () => {
    await expect(all(sourceOf(['date,price']).source.live(live()))).rejects.toThrow('unknown column "date"');
    await expect(sourceOf(['date,price', '']).source.live(live())[Symbol.asyncIterator]().next()).rejects.toThrow();
  });

  test('an empty file and a missing one are errors', async () => {
    await expect(all(sourceOf([]).source.live(live()))).rejects.toThrow('no header');
    await expect(all(sourceOf([], { file: join(folder, 'none') }).source.live(live()))).rejects.toThrow('ENOENT');
  });
});
