import { encodeCandle, MINUTE_MS } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { connectDatabase } from './connect';
import { LATEST } from './latest';
import { at, candle, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

/** New York midnights: of Friday 31 October in summer time, of Sunday, when the clocks changed, and of Monday. */
const FRIDAY = Date.UTC(2025, 9, 31, 4);
const SUNDAY = Date.UTC(2025, 10, 2, 4);
const MONDAY_MIDNIGHT = Date.UTC(2025, 10, 3, 5);

let test: TestStore;
let fences: Map<number, number>;

async function commit(symbol: string, minutes: readonly number[], days: readonly number[]): Promise<void> {
  const series = (times: readonly number[]) => times.map((openTime, i) => candle(i + 1, { openTime, close: 100 + i }));
  const widths = [change('1m', series(minutes)), change('1d', series(days))].filter(
    ({ changed }) => changed.length > 0,
  );
  await test.store.commit(0, fences.get(0)!, at(1), [changes(symbol, ...widths)]);
}

beforeAll(async () => {
  test = await testStore();
  fences = new Map((await test.store.claim('me', 600_000, 16)).map(({ partition, fence }) => [partition, fence]));
  await commit('AAPL', [MONDAY, MONDAY + MINUTE_MS], [FRIDAY, MONDAY_MIDNIGHT]);
  await commit('FIRST', [MONDAY], [MONDAY_MIDNIGHT]);
  await commit('LATE', [MONDAY_MIDNIGHT - MINUTE_MS], [FRIDAY, SUNDAY, MONDAY_MIDNIGHT]);
  await commit('EARLY', [MONDAY_MIDNIGHT], [FRIDAY, SUNDAY, MONDAY_MIDNIGHT]);
  await commit('DAYS', [], [FRIDAY]);
});
afterAll(() => test.drop());

it('is the newest minute of each symbol, as everyone sees it, and the close of the day before', async () => {
  const newest = candle(2, { openTime: MONDAY + MINUTE_MS, close: 101 });
  expect(await test.store.latest(['AAPL'])).toEqual([
    { symbol: 'AAPL', candle: JSON.parse(encodeCandle(newest)), reference: 100 },
  ]);
});

it('has no reference where there is no earlier day', async () => {
  expect(await test.store.latest(['FIRST'])).toMatchObject([{ symbol: 'FIRST', reference: null }]);
});

it('goes by the New York date of the minute', async () => {
  expect(await test.store.latest(['LATE', 'EARLY'])).toMatchObject([
    { symbol: 'LATE', reference: 100 },
    { symbol: 'EARLY', reference: 101 },
  ]);
});

it('answers in the order of the question and leaves out who has no minute', async () => {
  const answered = await test.store.latest(['LATE', 'DAYS', 'NOBODY', 'AAPL']);
  expect(answered.map(({ symbol }) => symbol)).toEqual(['LATE', 'AAPL']);
  expect(await test.store.latest([])).toEqual([]);
});

it('is read by index alone with a plan from when the tables were empty', async () => {
  await test.sql('truncate candles, series');
  const db = connectDatabase(test.url, silentLogger, 1);
  await db.run({ name: 'prepare', text: `prepare plan(text[]) as ${LATEST.text}` });
  const minutes = candles(5_000);
  for (let from = 0; from < minutes.length; from += 500) {
    await test.store.commit(0, fences.get(0)!, at(from), [
      changes('PLAN', change('1m', minutes.slice(from, from + 500))),
    ]);
  }
  await test.store.commit(0, fences.get(0)!, at(5_000), [changes('PLAN', change('1d', candles(500, '1d')))]);
  type Row = [[{ Plan: { 'Shared Hit Blocks': number; 'Shared Read Blocks': number } }]];
  const text = `explain (analyze, buffers, format json) execute plan('{PLAN,NOBODY}')`;
  const [row] = await db.run<Row>({ name: 'explain', text });
  await db.close();
  expect(JSON.stringify(row)).not.toMatch(/"Node Type":"(Seq|Bitmap|Hash|Merge|Materialize)/);
  const { Plan: plan } = row![0][0]!;
  expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(60);
});
