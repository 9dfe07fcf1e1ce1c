import fc from 'fast-check';
import { type Bar, encodeBar } from './bar';
import { DAY_MS } from './interval';
import { decodeEntry, encodeEntry, encodeEntryOf } from './journal';

const OPEN_TIME = Date.UTC(2025, 10, 3, 14, 30);
const BAR: Bar = {
  symbol: 'AAPL',
  openTime: OPEN_TIME,
  open: 100,
  high: 101,
  low: 99,
  close: 100.5,
  volume: 10,
  tradeCount: null,
  vwap: null,
  rev: 0,
};
const NOTHING = { clock: null, bars: [] };

test('an entry reads back as what was written', () => {
  for (const clock of [OPEN_TIME, null]) {
    const entry = { clock, bars: [BAR, { ...BAR, symbol: 'MSFT', rev: 4 as const }] };
    expect(decodeEntry(encodeEntry(entry))).toEqual({ entry, refused: [] });
  }
  expect(decodeEntry(encodeEntry(NOTHING))).toEqual({ entry: NOTHING, refused: [] });
});

test('an order to rebuild reads back, beside bars, and one that is none is reported', () => {
  const rebuild = { id: 'r1', symbols: ['AAPL', 'BRK.B'], from: OPEN_TIME };
  for (const order of [rebuild, { ...rebuild, from: null }]) {
    const entry = { clock: OPEN_TIME, bars: [BAR], rebuild: order };
    expect(decodeEntry(encodeEntry(entry))).toEqual({ entry, refused: [] });
  }
  for (const order of [null, 7, {}, { ...rebuild, symbols: ['aapl'] }, { ...rebuild, from: 'today' }]) {
    const text = JSON.stringify({ clock: OPEN_TIME, bars: [JSON.parse(encodeBar(BAR))], rebuild: order });
    expect(decodeEntry(text)).toEqual({ entry: { clock: OPEN_TIME, bars: [BAR] }, refused: ['bad_entry'] });
  }
});

test('bars that are text already make the same entry', () => {
  expect(encodeEntryOf(OPEN_TIME, [encodeBar(BAR)])).toBe(encodeEntry({ clock: OPEN_TIME, bars: [BAR] }));
});

test.each([
  ['', 'nothing'],
  ['{', 'half an entry'],
  ['null', 'null'],
  ['7', 'a number'],
  ['"entry"', 'a string'],
  ['[]', 'a list'],
  ['{}', 'no fields'],
  ['{"bars":[]}', 'no clock'],
  ['{"clock":1}', 'no bars'],
  ['{"clock":1,"bars":{}}', 'bars that are no list'],
  ['{"clock":"1","bars":[]}', 'a clock that is text'],
  ['{"clock":1.5,"bars":[]}', 'a clock of half a millisecond'],
  ['{"clock":1e300,"bars":[]}', 'a clock beyond all time'],
])('%p is reported as a bad entry (%s)', (text) => {
  expect(decodeEntry(text)).toEqual({ entry: NOTHING, refused: ['bad_entry'] });
});

test('bars that are none are left out with their reasons, and the rest is kept in order', () => {
  const later = { ...BAR, openTime: OPEN_TIME + 60_000 };
  const text = encodeEntryOf(OPEN_TIME, [
    'null',
    encodeBar(BAR),
    encodeBar({ ...BAR, volume: -1 }),
    encodeBar(later),
    encodeBar({ ...BAR, openTime: OPEN_TIME + 2 * DAY_MS }),
  ]);
  expect(decodeEntry(text)).toEqual({
    entry: { clock: OPEN_TIME, bars: [BAR, later] },
    refused: ['missing_field', 'negative_volume', 'ahead_of_time'],
  });
});

test('a bar is judged by the clock of its own entry, and by none where that is withheld', () => {
  const ahead = { ...BAR, openTime: OPEN_TIME + 2 * DAY_MS };
  expect(decodeEntry(encodeEntry({ clock: OPEN_TIME, bars: [ahead] })).refused).toEqual(['ahead_of_time']);
  expect(decodeEntry(encodeEntry({ clock: null, bars: [ahead] })).entry.bars).toEqual([ahead]);
  expect(decodeEntry(encodeEntry({ clock: 0, bars: [BAR] })).refused).toEqual(['ahead_of_time']);
});

test('no text makes it throw', () => {
  const entryLike = fc.record({ clock: fc.oneof(fc.integer(), fc.anything()), bars: fc.array(fc.anything()) });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        entryLike.map((value) => JSON.stringify(value) ?? ''),
      ),
      (text) => {
        const { entry, refused } = decodeEntry(text);
        expect(entry.bars.length).toBe(0);
        expect(Array.isArray(refused)).toBe(true);
      },
    ),
  );
});
