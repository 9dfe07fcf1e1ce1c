import type { Bar } from '@candlewire/contracts';
import { barMessage, encodeWireBar, toBar, wireBarOf } from './bar';

const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const BAR: Bar = {
  symbol: 'AAPL',
  openTime: OPEN,
  open: 100,
  high: 101.5,
  low: 99,
  close: 100.25,
  volume: 1_234,
  tradeCount: 12,
  vwap: 100.1,
  rev: 1,
};
const WIRE = wireBarOf(BAR);

test('a bar goes over the wire and back', () => {
  expect(toBar('AAPL', WIRE, 1, OPEN)).toEqual(BAR);
  const { S, ...message } = barMessage('u', BAR);
  expect(toBar(S, message, 1, OPEN)).toEqual(BAR);
  expect(JSON.parse(encodeWireBar(BAR))).toEqual(WIRE);
});

test('count and average may be absent', () => {
  const bare: Bar = { ...BAR, tradeCount: null, vwap: null };
  expect(Object.keys(wireBarOf(bare))).toEqual(['t', 'o', 'h', 'l', 'c', 'v']);
  expect(JSON.parse(encodeWireBar(bare))).toEqual(wireBarOf(bare));
  expect(toBar('AAPL', wireBarOf(bare), 1, OPEN)).toEqual(bare);
});

test('any zone, and nine decimals, name the minute', () => {
  expect(toBar('AAPL', { ...WIRE, t: '2025-11-03T09:30:00.000000000-05:00' }, 1, OPEN)).toEqual(BAR);
});

test.each([
  ['bad_symbol', { S: 'a b' }],
  ['missing_field', { t: undefined }],
  ['missing_field', { c: undefined }],
  ['bad_timestamp', { t: 'now' }],
  ['bad_timestamp', { t: OPEN }],
  ['off_the_minute', { t: '2025-11-03T14:30:00.000000001Z' }],
  ['off_the_minute', { t: '2025-11-03T14:30:01Z' }],
  ['not_a_number', { o: '100' }],
  ['fractional_volume', { v: 1.5 }],
  ['high_below_low', { h: 98 }],
])('%s: %p', (refusal, change) => {
  const { S = 'AAPL', ...fields } = change as { S?: string };
  expect(toBar(S, { ...WIRE, ...fields }, 0, OPEN)).toBe(refusal);
});
