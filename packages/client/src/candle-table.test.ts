import { CandleTable, foldCandles } from './candle-table.ts';
import { candle, change, EPOCH, snapshot } from './server.suite.ts';

const row = (minute: number, seq: number, epoch = EPOCH) => ({
  symbol: 'AAPL',
  interval: '5m' as const,
  epoch,
  ...candle(minute, seq),
});

test('of each candle the newest state is kept, in whatever order they come', () => {
  const rows = [row(5, 4), row(0, 1), row(5, 2), row(0, 3), row(5, 4)];
  const expected = [candle(0, 3), candle(5, 4)];
  expect(foldCandles(rows).candles('AAPL', '5m')).toEqual(expected);
  expect(foldCandles([...rows].reverse()).candles('AAPL', '5m')).toEqual(expected);
});

test('says whether a candle was news', () => {
  const table = new CandleTable();
  expect([row(0, 2), row(0, 2), row(0, 1), row(0, 3), row(5, 1)].map((one) => table.add(one))).toEqual([
    true,
    false,
    false,
    true,
    true,
  ]);
  expect(table.size).toBe(2);
  expect(table.get('AAPL', '5m', '2025-11-03T14:30:00Z')).toEqual(candle(0, 3));
  expect(table.get('AAPL', '1m', '2025-11-03T14:30:00Z')).toBeUndefined();
});

test('series do not mix', () => {
  const table = foldCandles([row(0, 1), { ...row(0, 1), symbol: 'MSFT' }, { ...row(0, 1), interval: '1m' }]);
  table.clear('AAPL', '5m');
  expect([table.size, table.candles('AAPL', '5m')]).toEqual([2, []]);
});

test('another epoch begins its series anew', () => {
  expect(foldCandles([row(0, 8), row(5, 9), row(0, 1, 'e2')]).candles('AAPL', '5m')).toEqual([candle(0, 1)]);
});

test('a snapshot replaces its series, a reset empties it, changes go on', () => {
  const table = foldCandles([change(candle(0, 1)), snapshot([candle(5, 2), candle(10, 3)], 3), change(candle(10, 4))]);
  expect(table.candles('AAPL', '5m')).toEqual([candle(5, 2), candle(10, 4)]);
  table.apply({ type: 'skipped', symbol: 'AAPL', interval: '5m', count: 1 });
  expect(table.size).toBe(2);
  table.apply({ type: 'reset', symbol: 'AAPL', interval: '5m', epoch: EPOCH, seq: 9 });
  expect(table.size).toBe(0);
});
