import { partitionOf } from '@candlewire/contracts';
import type { RebuildStep } from './store';
import { at, candle, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

const DAY = Date.UTC(2025, 10, 3, 5);
const P = partitionOf('AAPL');
let test: TestStore;
let fence: number;

beforeEach(async () => {
  test = await testStore();
  fence = (await test.store.claim('me', 600_000, 16)).find(({ partition }) => partition === P)!.fence;
  await test.store.register(['AAPL', 'MSFT'].map((symbol) => ({ symbol, name: null })));
});
afterEach(() => test.drop());

const step = (fields: Partial<RebuildStep> = {}): RebuildStep => {
  return { id: 'r', symbol: 'AAPL', next: DAY, compared: 10, found: 0, told: [], series: [], ...fields };
};
const commit = (one: RebuildStep, by = fence) => test.store.commitRebuild(P, by, at(1), one);
const order = { id: 'r', symbols: ['AAPL'], from: DAY };

it('a rebuild of a symbol that was never seen is refused by name, and leaves nothing', async () => {
  expect(await test.store.requestRebuild('r', ['AAPL', 'NONE'], null)).toEqual({ made: false, unknown: ['NONE'] });
  expect(await test.store.rebuild('r')).toBeNull();
});

it('the hundred-and-first that waits is refused', async () => {
  await test.sql(`insert into rebuilds (id, symbols) select n::text, '{AAPL}' from generate_series(1, 99) n`);
  expect(await test.store.requestRebuild('r', ['AAPL'], null)).toEqual({ made: true, unknown: [] });
  expect(await test.store.requestRebuild('s', ['AAPL'], null)).toEqual({ made: false, unknown: [] });
  await test.sql(`update rebuilds set taken = true where id = '1'`);
  expect(await test.store.requestRebuild('s', ['AAPL'], null)).toEqual({ made: true, unknown: [] });
});

it('orders name each symbol that its owner has not taken, and again only after a while', async () => {
  await test.store.requestRebuild('r', ['AAPL', 'MSFT'], DAY);
  const due = await test.store.relayRebuilds();
  expect(due).toHaveLength(2);
  expect(due).toContainEqual({ partition: P, order });
  expect(await test.store.relayRebuilds()).toEqual([]);

  await test.store.beginRebuild(P, order);
  await test.sql(`update rebuilds set relayed_at = now() - interval '1 minute'`);
  expect(await test.store.relayRebuilds()).toEqual([
    { partition: partitionOf('MSFT'), order: { id: 'r', symbols: ['MSFT'], from: DAY } },
  ]);
  await test.store.beginRebuild(partitionOf('MSFT'), { ...order, symbols: ['MSFT'] });
  for (let i = 0; i < 2; i++) {
    await test.sql(`update rebuilds set relayed_at = now() - interval '1 minute'`);
    expect(await test.store.relayRebuilds()).toEqual([]);
  }
});

it('an order that comes twice begins nothing anew, and one that nobody asked for nothing at all', async () => {
  await test.store.requestRebuild('r', ['AAPL'], DAY);
  await test.store.beginRebuild(P, order);
  await commit(step({ next: DAY + 86_400_000 }));
  for (const again of [order, { ...order, id: 'unknown' }, { ...order, symbols: ['MSFT'] }])
    await test.store.beginRebuild(P, again);
  expect(await test.store.openRebuilds(P)).toEqual([
    { id: 'r', symbol: 'AAPL', next: DAY + 86_400_000, compared: 10, found: 0 },
  ]);
});

it('a step stores corrections, removals and progress together, and numbers go on', async () => {
  const fives = candles(3, '5m');
  await test.store.commit(P, fence, at(1), [changes('AAPL', change('5m', fives))]);
  await test.store.requestRebuild('r', ['AAPL'], null);
  await test.store.beginRebuild(P, { ...order, from: null });
  expect(await test.store.openRebuilds(P)).toEqual([{ id: 'r', symbol: 'AAPL', next: null, compared: 0, found: 0 }]);

  const right = candle(4, { ...fives[0]!, volume: 9, revision: 2, seq: 4 });
  const series = [{ ...change('5m', [right]), seq: 5, removed: [fives[2]!.openTime] }];
  expect(await commit(step({ found: 2, told: ['{"n":1}', '{"n":2}'], series }))).toBe(2);
  expect(await commit(step({ found: 1, told: ['{"n":3}'], next: null }))).toBe(3);

  const [stored] = await test.store.answer([
    { kind: 'candles', symbol: 'AAPL', interval: '5m', from: 0, to: Number.POSITIVE_INFINITY, limit: 10 },
  ]);
  expect(stored).toEqual([right, fives[1]]);
  expect(await test.store.head('AAPL', '5m')).toMatchObject({ seq: 5 });
  expect(await test.store.openRebuilds(P)).toEqual([]);
  const report = (await test.store.rebuild('r'))!;
  expect(report).toMatchObject({ id: 'r', symbols: ['AAPL'], from: null });
  expect(report.parts).toEqual([
    { id: 'r', symbol: 'AAPL', next: DAY, compared: 20, found: 3, done: true, error: null },
  ]);
  expect(JSON.parse(report.differencesJson)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});

it('what a removal leaves to be published again is a change of which there is no candle', async () => {
  await test.store.commit(P, fence, at(1), [changes('AAPL', change('5m', candles(1, '5m')))]);
  await test.store.requestRebuild('r', ['AAPL'], null);
  await test.store.beginRebuild(P, order);
  await commit(
    step({ series: [{ interval: '5m', seqBefore: 1, seq: 2, changed: [], touched: [], removed: [MONDAY] }] }),
  );
  expect(await test.store.lastCommit(P)).toEqual([
    { symbol: 'AAPL', change: { interval: '5m', seqBefore: 1, seq: 2, changed: [], touched: [] } },
  ]);
});

it('whoever lost the partition stores neither corrections nor progress', async () => {
  await test.store.requestRebuild('r', ['AAPL'], null);
  await test.store.beginRebuild(P, { ...order, from: null });
  expect(
    await commit(step({ found: 1, told: ['{}'], series: [change('1h', candles(1, '1h'))] }), fence - 1),
  ).toBeNull();
  expect(await test.store.openRebuilds(P)).toEqual([{ id: 'r', symbol: 'AAPL', next: null, compared: 0, found: 0 }]);
  expect(await test.store.head('AAPL', '1h')).toBeNull();
});

it('a symbol that is given up is over, with its reason', async () => {
  await test.store.requestRebuild('r', ['AAPL'], null);
  await test.store.beginRebuild(P, order);
  await test.store.failRebuild('r', 'AAPL', 'broken');
  expect(await test.store.openRebuilds(P)).toEqual([]);
  expect((await test.store.rebuild('r'))!.parts).toMatchObject([{ done: true, error: 'broken' }]);
});
