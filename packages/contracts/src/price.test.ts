import { PriceMessage } from './messages';
import { priceUpdate } from './price';

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
