import { INTERVALS } from '@candlewire/contracts';
import fc from 'fast-check';
import { formatCursor, parseCursor, type Rest } from './cursor';

const SERIES = { symbol: 'AAPL', interval: '5m' } as const;
const bound = fc.option(fc.integer({ min: -30_000_000_000_000, max: 260_000_000_000_000 }));
const rest: fc.Arbitrary<Rest> = fc.record({
  direction: fc.constantFrom('back', 'forward'),
  from: bound,
  to: bound,
});

test('a cursor reads back as what it was made of', () => {
  fc.assert(
    fc.property(rest, fc.constantFrom(...INTERVALS), (given, interval) => {
      const series = { symbol: 'BRK.B', interval };
      expect(parseCursor(series, formatCursor(series, given))).toEqual(given);
    }),
  );
});

test('a cursor with any one character changed, left out or added is refused', () => {
  const cursor = formatCursor(SERIES, { direction: 'forward', from: 1_762_180_200_000, to: 1_762_266_600_000 });
  for (let at = 0; at < cursor.length; at++) {
    const [before, here, after] = [cursor.slice(0, at), cursor[at], cursor.slice(at + 1)];
    expect(parseCursor(SERIES, before + after)).toBeNull();
    for (const other of ['A', 'b', '7', '_', '!', ' ', '=', '\u00e9']) {
      if (other !== here) expect(parseCursor(SERIES, before + other + after)).toBeNull();
      expect(parseCursor(SERIES, before + other + here + after)).toBeNull();
    }
  }
  expect(parseCursor(SERIES, `${cursor}=`)).toBeNull();
});

test('a cursor of another symbol or interval is refused', () => {
  const cursor = formatCursor(SERIES, { direction: 'back', from: null, to: 0 });
  expect(parseCursor(SERIES, cursor)).not.toBeNull();
  expect(parseCursor({ ...SERIES, symbol: 'MSFT' }, cursor)).toBeNull();
  expect(parseCursor({ ...SERIES, interval: '1m' }, cursor)).toBeNull();
});

test('text that was never a cursor is refused', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => expect(parseCursor(SERIES, text)).toBeNull()));
});
