import { PriceMessage } from './messages';
import { decodeTicks, encodeTicks, priceUpdate } from './price';

test('change and percentage are against the reference, and not rounded', () => {
  const price = priceUpdate('AAPL', 101, 99.3, '2025-11-03T14:30:00Z', 1_200);
  expect(price).toEqual({
    type: 'price_update',
    symbol: 'AAPL',
    price: 101,
    change: 101 - 99.3,
    change_percent: ((101 - 99.3) / 99.3) * 100,
    timestamp: '2025-11-03T14:30:00Z',
    volume: 1_200,
  });
  expect(PriceMessage.parse(price)).toEqual(price);
  expect(Object.keys(PriceMessage.shape)).toEqual(Object.keys(price));
});

test('without a reference there is no change', () => {
  expect(priceUpdate('AAPL', 101, null, '2025-11-03T14:30:00Z', 0)).toMatchObject({
    change: null,
    change_percent: null,
  });
});

test('ticks read back as what was written', () => {
  const ticks = [
    { symbol: 'ACME', price: 0.1 + 0.2, time: 1_762_180_200_123, volume: 0 },
    { symbol: 'BRK.B', price: 5e5, time: 0, volume: 1e12 },
  ];
  expect(decodeTicks(encodeTicks(ticks))).toEqual(ticks);
});

test.each([
  ['', 'nothing'],
  ['{}', 'no list'],
  ['[null]', 'a list of nothing'],
  ['[{"symbol":"ACME","price":0,"time":1,"volume":1}]', 'a price of nothing'],
  ['[{"symbol":"ACME","price":1,"time":1.5,"volume":1}]', 'half a millisecond'],
  ['[{"symbol":"ACME","price":1,"time":1,"volume":-1}]', 'a negative volume'],
  ['[{"price":1,"time":1,"volume":1}]', 'no symbol'],
])('%p holds no ticks (%s)', (text) => {
  expect(decodeTicks(text)).toEqual([]);
});
