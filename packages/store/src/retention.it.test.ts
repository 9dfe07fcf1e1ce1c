import { MINUTE_MS, partitionOf } from '@candlewire/contracts';
import type { CandlesQuery } from './store';
import { at, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

const P = partitionOf('AAPL');
/** Behind the first 500 of 700 minutes. */
const HORIZON = MONDAY + 500 * MINUTE_MS;
const NEWEST: CandlesQuery = {
  symbol: 'AAPL',
  interval: '1m',
  direction: 'forward',
  from: null,
  to: null,
  limit: 1_000,
};
let test: TestStore;
let fence: number;

beforeEach(async () => {
  test = await testStore();
  fence = (await test.store.claim('me', 600_000, 16)).find(({ partition }) => partition === P)!.fence;
  const fives = change('5m', candles(140, '5m'));
  await test.store.commit(P, fence, at(1), [changes('AAPL', change('1m', candles(700)), fives)]);
});
afterEach(() => test.drop());

const minutes = async () =>
  (await test.sql<{ ts: Date }>(`select ts from candles where interval = '1m' order by ts`)).map(({ ts }) => +ts);
const deleteAll = async (limit: number): Promise<number[]> => {
  const batches = [];
  for (;;) {
    const deleted = await test.store.deleteMinutes(P, fence, 'AAPL', limit);
    batches.push(deleted);
    if (deleted < limit) return batches;
  }
};

it('deletes by batches what lies before the horizon, but for 161 minutes, and no other interval', async () => {
  await test.store.moveHorizon(P, fence, HORIZON);
  expect(await deleteAll(100)).toEqual([100, 100, 100, 39]);
  expect(await minutes()).toEqual(
    candles(700)
      .slice(339)
      .map(({ openTime }) => openTime),
  );
  expect(await test.sql(`select count(*)::int from candles where interval = '5m'`)).toEqual([{ count: 140 }]);
  expect(await test.store.minuteSymbols(P)).toEqual(['AAPL']);
});

it('deletes nothing without a horizon, with another fence, and of a symbol with few minutes', async () => {
  expect(await test.store.deleteMinutes(P, fence, 'AAPL', 100)).toBe(0);
  await test.store.moveHorizon(P, fence, MONDAY + 161 * MINUTE_MS);
  expect(await test.store.deleteMinutes(P, fence, 'AAPL', 100)).toBe(0);
  await test.store.moveHorizon(P, fence, HORIZON);
  expect(await test.store.deleteMinutes(P, fence - 1, 'AAPL', 100)).toBe(0);
  expect(await minutes()).toHaveLength(700);
});

it('the horizon only moves forward, and not for whoever lost the partition', async () => {
  expect(await test.store.moveHorizon(P, fence, HORIZON)).toBe(HORIZON);
  expect(await test.store.moveHorizon(P, fence, MONDAY)).toBe(HORIZON);
  expect(await test.store.moveHorizon(P, fence - 1, HORIZON + MINUTE_MS)).toBeNull();
  expect(await test.store.keptFrom(['MSFT', 'AAPL'])).toBe(HORIZON);
  expect(await test.store.keptFrom(['MSFT'])).toBeNull();
  await test.store.leave('me');
  expect((await test.store.claim('you', 600_000, 16))[P]).toMatchObject({ partition: P, horizon: HORIZON });
});

it('what lies before the horizon is gone for readers at once, deleted or not; wider candles stay', async () => {
  const all = await test.store.candles(NEWEST);
  await test.store.moveHorizon(P, fence, HORIZON);
  const page = await test.store.candles(NEWEST);
  expect(all).toMatchObject({ count: 700, horizon: null });
  expect(page).toMatchObject({ count: 200, horizon: HORIZON, seq: all.seq });
  await deleteAll(1_000);
  expect(await test.store.candles(NEWEST)).toEqual(page);
  expect(await test.store.head('AAPL', '1m')).toEqual({ epoch: page.epoch, seq: 700, horizon: HORIZON });
  expect((await test.store.changes({ symbol: 'AAPL', interval: '1m', after: 0, limit: 1_000 })).changes).toHaveLength(
    200,
  );
  expect(await test.store.candles({ ...NEWEST, interval: '5m' })).toMatchObject({ count: 140, horizon: null });
});

it('whoever plans what to fetch knows the horizon, also of a symbol that has no candle yet', async () => {
  await test.store.register(['AAPL', 'MSFT'].map((symbol) => ({ symbol, name: null })));
  await test.store.moveHorizon(P, fence, HORIZON);
  await test.sql('update partitions set horizon = $2 where p = $1', [partitionOf('MSFT'), new Date(MONDAY)]);
  const known = await test.store.historyOf();
  expect(known.map(({ symbol, horizon }) => [symbol, horizon])).toEqual([
    ['AAPL', HORIZON],
    ['MSFT', MONDAY],
  ]);
});
