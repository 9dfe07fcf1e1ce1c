import type { ReadEntry } from '@candlewire/bus';
import { type Bar, encodeEntry, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { bar, MONDAY_OPEN } from '@candlewire/testkit';
import { BATCH_BARS_MAX, batchOf } from './batch';

const NEW = { clock: Number.NEGATIVE_INFINITY, horizon: null, cautiousUntil: 0 };
const at = (minute: number) => MONDAY_OPEN + minute * MINUTE_MS;
/** Minutes are kept for an hour before the clock. */
const anHour = (clock: number, known: number | null) => Math.max(clock - HOUR_MS, known ?? 0);
const none = (_clock: number, known: number | null) => known;

function entries(...of: { clock?: number; bars?: readonly Bar[]; rebuild?: string }[]): ReadEntry[] {
  return of.map(({ clock = null, bars = [], rebuild }, i) => ({
    number: i + 1,
    barsTotal: 0,
    text: encodeEntry({ clock, bars, ...(rebuild && { rebuild: { id: rebuild, symbols: ['AAPL'], from: null } }) }),
  }));
}

test('of nothing there is no batch', () => {
  expect(batchOf([], NEW, none)).toBeNull();
});

test('bars stand by symbol in the order of the journal, behind the greatest clock', () => {
  const [a, b, c] = [bar({ close: 1, low: 1 }), bar({ symbol: 'MSFT' }), bar({ close: 2, low: 1 })];
  const read = entries({ clock: at(2), bars: [a, b] }, { clock: at(1), bars: [c] }, { rebuild: 'r' });
  const batch = batchOf(read, NEW, none)!;
  expect([...batch.bySymbol]).toEqual([
    ['AAPL', [a, c]],
    ['MSFT', [b]],
  ]);
  expect(batch).toMatchObject({ size: 3, bars: 3, clock: at(2), horizon: null, refused: {}, last: read[2] });
  expect(batch.rebuilds.map(({ id }) => id)).toEqual(['r']);
  expect(batchOf(read, { ...NEW, clock: at(9) }, none)!.clock).toBe(at(9));
});

test('ends with the entry that makes it full', () => {
  const half = Array.from({ length: BATCH_BARS_MAX / 2 }, () => bar());
  const read = entries({ bars: half }, { bars: half.slice(1) }, { bars: [bar()] }, { bars: [bar()] });
  expect(batchOf(read, NEW, none)).toMatchObject({ size: 3, bars: BATCH_BARS_MAX });
});

test('is one entry as long as the one that cannot be stored is looked for', () => {
  const read = entries({ bars: [bar()] }, { bars: [bar()] }, { bars: [bar()] }, { bars: [bar()] });
  expect(batchOf(read, { ...NEW, cautiousUntil: 2 }, none)!.size).toBe(1);
  expect(batchOf(read.slice(1), { ...NEW, cautiousUntil: 2 }, none)!.size).toBe(3);
});

test('what is no entry and no bar is counted by reason, the rest of it taken', () => {
  const read = entries({ bars: [bar({ close: -1, low: -1 }), bar()] });
  const batch = batchOf([{ number: 0, barsTotal: 0, text: 'nonsense' }, ...read], NEW, none)!;
  expect(batch.refused).toEqual({ bad_entry: 1, non_positive_price: 1 });
  expect(batch.bySymbol.get('AAPL')).toEqual([bar()]);
});

describe('bars before the horizon', () => {
  const minutes = (...of: number[]) => of.map((minute) => bar({ openTime: at(minute) }));
  const read = entries(
    { clock: at(70), bars: minutes(0, 9, 10) },
    { bars: minutes(9, 10) },
    { clock: at(90), bars: minutes(10, 29) },
    { bars: minutes(29, 30) },
  );

  test('are refused by the clock before their entry', () => {
    const batch = batchOf(read, NEW, anHour)!;
    expect(batch.bySymbol.get('AAPL')).toEqual(minutes(0, 9, 10, 10, 10, 29, 30));
    expect(batch).toMatchObject({ refused: { too_old: 2 }, bars: 9, clock: at(90), horizon: at(30) });
  });

  test('are the same ones, entry by entry', () => {
    let before: Parameters<typeof batchOf>[1] = { ...NEW, cautiousUntil: read.length };
    const taken: Bar[] = [];
    let refused = 0;
    for (let from = 0; from < read.length; from++) {
      const batch = batchOf(read.slice(from), before, anHour)!;
      expect(batch.size).toBe(1);
      taken.push(...(batch.bySymbol.get('AAPL') ?? []));
      refused += batch.refused.too_old ?? 0;
      before = { ...before, clock: batch.clock, horizon: batch.horizon };
    }
    expect(taken).toEqual(batchOf(read, NEW, anHour)!.bySymbol.get('AAPL'));
    expect(refused).toBe(2);
  });
});
