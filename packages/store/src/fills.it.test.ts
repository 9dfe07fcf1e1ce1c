import { at, candle, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

let test: TestStore;
let fence: number;

beforeAll(async () => {
  test = await testStore();
  const claims = await test.store.claim('me', 600_000, 16);
  fence = claims.find(({ partition }) => partition === 0)!.fence;
  await test.store.register(['BARS', 'EMPTY', 'GONE'].map((symbol) => ({ symbol, name: null })));
  await test.store.deactivate('GONE');
});
afterAll(() => test.drop());

it('active symbols are those that are registered and not deactivated, ascending', async () => {
  expect(await test.store.activeSymbols()).toEqual(['BARS', 'EMPTY']);
});

it('history knows the newest minute of each active symbol, and since when it was asked for', async () => {
  const minutes = candles(3);
  const day = [candle(9, { seq: 1, openTime: MONDAY + 9e8 })];
  await test.store.commit(0, fence, at(1), [changes('BARS', change('1m', minutes), change('1d', day))]);
  await test.store.historyBegins(['BARS', 'GONE'], MONDAY);
  expect(await test.store.historyOf()).toMatchObject([
    { symbol: 'BARS', lastOpenTime: minutes[2]!.openTime, historyFrom: MONDAY },
    { symbol: 'EMPTY', lastOpenTime: null, historyFrom: null },
  ]);
  expect(await test.store.historyOf(['EMPTY', 'GONE', 'UNKNOWN'])).toMatchObject([
    { symbol: 'EMPTY', lastOpenTime: null, historyFrom: null },
  ]);
});

it('the earliest beginning stays', async () => {
  for (const from of [MONDAY, MONDAY - 60_000, MONDAY + 60_000]) await test.store.historyBegins(['EMPTY'], from);
  expect(await test.store.historyOf(['EMPTY'])).toMatchObject([
    { symbol: 'EMPTY', lastOpenTime: null, historyFrom: MONDAY - 60_000 },
  ]);
});

it('of a symbol that was never filled nothing is known to be complete', async () => {
  expect(await test.store.historyOf(['EMPTY'])).toMatchObject([{ answered: [], settled: [], live: [], pending: [] }]);
});

it('consumed is the position of the last commit', async () => {
  expect(await test.store.consumed(1)).toEqual({ id: '', last: 0 });
  await test.store.commit(0, fence, { journalId: 'journal', entry: 7, clock: null }, []);
  expect(await test.store.consumed(0)).toEqual({ id: 'journal', last: 7 });
  expect((await test.store.allConsumed()).slice(0, 2)).toEqual([
    { id: 'journal', last: 7 },
    { id: '', last: 0 },
  ]);
});
