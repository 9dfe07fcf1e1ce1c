import { type TestStore, testStore } from './store.suite';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const T = Date.UTC(2025, 10, 3, 5);
const at = (minute: number) => T + minute * MINUTE;
const planned = (symbol: string, from: number, to: number, backfill = '', priority = 1) => ({
  symbol,
  from: at(from),
  to: at(to),
  backfill,
  priority,
});

let test: TestStore;

beforeEach(async () => {
  test = await testStore();
  await test.store.register(['A', 'B'].map((symbol) => ({ symbol, name: null })));
});
afterEach(() => test.drop());

const history = async (symbol: string) => (await test.store.historyOf([symbol]))[0]!;

it('what was answered is merged, whatever came first, and settled no further than answered', async () => {
  const { store } = test;
  for (const [from, to] of [
    [10, 20],
    [0, 5],
    [5, 10],
    [30, 40],
  ] as const) {
    await store.answered(planned('A', from, to), at(to), at(12));
  }
  const { answered, settled } = await history('A');
  expect(answered).toEqual([
    { from: at(0), to: at(20) },
    { from: at(30), to: at(40) },
  ]);
  expect(settled).toEqual([{ from: at(0), to: at(12) }]);
  expect((await history('B')).answered).toEqual([]);
  await store.answered(planned('A', 50, 60), at(50), at(60));
  expect((await history('A')).answered).toHaveLength(2);
});

it('a heartbeat vouches for all that take part; the stretch before goes on no more', async () => {
  const { store } = test;
  const first = await store.beginLive(at(0));
  await store.liveSymbols(first, { added: ['A', 'B'], since: at(0), removed: [], until: at(0) });
  await store.vouch(first, at(10));
  await store.liveSymbols(first, { added: [], since: at(0), removed: ['B'], until: at(4) });
  expect((await history('A')).live).toEqual([{ session: first, from: at(0), to: at(10), goesOn: true }]);
  expect((await history('B')).live).toEqual([{ session: first, from: at(0), to: at(4), goesOn: false }]);
  await store.vouch(first, at(9));
  const second = await store.beginLive(at(20));
  await store.liveSymbols(second, { added: ['A'], since: at(21), removed: [], until: at(0) });
  expect((await history('A')).live).toEqual([
    { session: first, from: at(0), to: at(10), goesOn: false },
    { session: second, from: at(21), to: at(20), goesOn: true },
  ]);
  await test.sql("update live_sessions set beat_at = now() - interval '5 days'");
  await store.beginLive(at(30));
  expect((await history('A')).live).toEqual([]);
});

it('a range is remembered once, shows how it goes, and is gone when it is done', async () => {
  const { store } = test;
  const [one, two] = [planned('A', 0, 10), planned('A', 10, 20, '', 2)];
  await store.addFills([two, one, one]);
  await store.noteFill(one, { state: 'running', reason: null, bars: 5 });
  await store.noteFill(two, { state: 'waiting', reason: 'rate limited', bars: 0 });
  expect((await history('A')).pending).toEqual([
    { from: at(0), to: at(10), state: 'running', reason: null },
    { from: at(10), to: at(20), state: 'waiting', reason: 'rate limited' },
  ]);
  await store.endFill(one, null);
  await store.endFill(two, 'unknown symbol');
  expect((await history('A')).pending).toMatchObject([{ from: at(10), state: 'failed', reason: 'unknown symbol' }]);
  expect(await store.pendingFills()).toEqual({ planned: 0, asked: 0 });
  expect(await store.takeUpFills()).toEqual([two]);
  expect((await history('A')).pending).toMatchObject([{ state: 'queued', reason: null }]);
});

it('a backfill is one for all that ask for the same, until it is finished', async () => {
  const { store } = test;
  const span = { from: at(0), to: at(20) };
  const ids = await Promise.all([1, 2, 3].map(() => store.requestBackfill('same', ['A', 'B'], span)));
  expect(new Set(ids).size).toBe(1);
  const id = ids[0]!;
  expect(await store.openBackfills()).toMatchObject([
    { id, ...span, parts: [{ symbol: 'A', done: [], pending: [], jobsTotal: null }, { symbol: 'B' }] },
  ]);
  await store.planBackfill(id, 2);
  await store.addFills([planned('A', 0, 10, id), planned('A', 10, 20, id), planned('B', 10, 20, id)]);
  await store.noteFill(planned('A', 0, 10, id), { state: 'running', reason: null, bars: 7 });
  expect((await history('A')).pending).toEqual([]);
  expect(await store.pendingFills()).toEqual({ planned: 0, asked: 3 });
  expect((await store.backfill(id))!.parts[0]).toMatchObject({ jobsDone: 0, jobsTotal: 2, bars: 7, running: 1 });
  await store.endFill(planned('A', 0, 10, id), null);
  await store.endFill(planned('A', 0, 10, id), null);
  await store.endFill(planned('B', 10, 20, id), 'no such symbol');
  expect((await store.openBackfills())[0]!.parts).toEqual([
    {
      symbol: 'A',
      done: [{ from: at(0), to: at(10) }],
      pending: [{ from: at(10), to: at(20) }],
      jobsTotal: 2,
      reason: null,
    },
    { symbol: 'B', done: [{ from: at(10), to: at(20) }], pending: [], jobsTotal: 2, reason: 'no such symbol' },
  ]);
  expect((await store.backfill(id))!.parts).toMatchObject([
    { jobsDone: 1, bars: 7, failed: false },
    { jobsDone: 1, failed: true, reason: 'no such symbol' },
  ]);
  await store.finishBackfill(id, null);
  expect(await store.openBackfills()).toEqual([]);
  expect(await store.requestBackfill('same', ['A'], span)).not.toBe(id);
  expect(await store.backfill('none')).toBeNull();
});

it('no more than 100 backfills wait', async () => {
  const { store } = test;
  const span = { from: at(0), to: at(20) };
  for (let n = 0; n < 100; n++) expect(await store.requestBackfill(`${n}`, ['A'], span)).not.toBeNull();
  expect(await store.requestBackfill('one more', ['A'], span)).toBeNull();
  expect(await store.requestBackfill('7', ['A'], span)).not.toBeNull();
});

it('facts of the source are the last that were said', async () => {
  const { store } = test;
  expect(await store.sourceFacts()).toBeNull();
  await store.describeSource({ statuses: ['regular'], hasHistory: false });
  await store.describeSource({ statuses: ['pre', 'regular'], hasHistory: true });
  expect(await store.sourceFacts()).toEqual({ statuses: ['pre', 'regular'], hasHistory: true, calendar: 'nyse' });
  expect(await store.minutes('A', { from: T, to: T + DAY }, 10)).toEqual([]);
});
