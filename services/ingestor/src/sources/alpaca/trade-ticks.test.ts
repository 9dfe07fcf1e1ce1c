import { MINUTE_MS } from '@candlewire/contracts';
import { MONDAY_OPEN } from '@candlewire/testkit';
import type { StreamTrade } from './sdk-stream';
import { createTradeTicks } from './trade-ticks';

const trade = (over: Partial<Record<keyof StreamTrade, unknown>> & { ms?: number } = {}) =>
  ({
    symbol: 'A',
    price: 10,
    size: 100,
    conditions: ['@'],
    timestamp: new Date(MONDAY_OPEN + (over.ms ?? 0)),
    ...over,
  }) as unknown as StreamTrade;

test('of each symbol the newest trade is told, with the volume of its minute so far', () => {
  const ticks = createTradeTicks();
  for (const one of [trade(), trade({ ms: 5, price: 11 }), trade({ symbol: 'B', size: 7 })]) ticks.traded(one);
  expect(ticks.take()).toEqual([
    { symbol: 'A', price: 11, time: MONDAY_OPEN + 5, volume: 200 },
    { symbol: 'B', price: 10, time: MONDAY_OPEN, volume: 7 },
  ]);
  expect(ticks.take()).toEqual([]);
});

test('a new minute begins with its own volume, and a late report of the last one says nothing', () => {
  const ticks = createTradeTicks();
  ticks.traded(trade());
  ticks.traded(trade({ ms: MINUTE_MS, size: 3 }));
  ticks.traded(trade({ ms: 10, price: 99 }));
  expect(ticks.take()).toEqual([{ symbol: 'A', price: 10, time: MONDAY_OPEN + MINUTE_MS, volume: 3 }]);
});

test('an odd lot is volume and no price, an official close repeated is neither', () => {
  const ticks = createTradeTicks();
  ticks.traded(trade({ conditions: ['@', 'I'], size: 5, price: 1 }));
  ticks.traded(trade({ conditions: ['M'], size: 1_000_000, price: 2 }));
  expect(ticks.take()).toEqual([]);
  ticks.traded(trade({ ms: 1, conditions: [] }));
  expect(ticks.take()).toEqual([{ symbol: 'A', price: 10, time: MONDAY_OPEN + 1, volume: 105 }]);
});

test('a trade that was reported out of order changes the volume and not the price', () => {
  const ticks = createTradeTicks();
  ticks.traded(trade({ ms: 10, price: 11 }));
  ticks.traded(trade({ ms: 5, price: 9 }));
  expect(ticks.take()).toEqual([{ symbol: 'A', price: 11, time: MONDAY_OPEN + 10, volume: 100 }]);
  ticks.traded(trade({ ms: 20, price: 12 }));
  expect(ticks.take()).toEqual([{ symbol: 'A', price: 12, time: MONDAY_OPEN + 20, volume: 300 }]);
});

test.each([
  { price: 0 },
  { price: Number.NaN },
  { size: -1 },
  { size: 1.5 },
  { symbol: undefined },
  { timestamp: new Date(Number.NaN) },
])('what is no trade is passed over: %j', (over) => {
  const ticks = createTradeTicks();
  ticks.traded(trade(over));
  expect(ticks.take()).toEqual([]);
});

test('whoever waits is woken by a tick, and by the signal', async () => {
  const ticks = createTradeTicks();
  const stop = new AbortController();
  const waiting = ticks.some(stop.signal);
  ticks.traded(trade());
  await waiting;
  ticks.take();
  const again = ticks.some(stop.signal);
  stop.abort();
  await again;
});
