import { PARTITIONS } from '@candlewire/contracts';
import { loadCalendar, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type PlannedFill, type Store, StoreUnavailable } from '@candlewire/store';
import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { systemTime } from '../time';
import { createFills } from './fills';

let database: TestDatabase;
let store: Store;

beforeEach(async () => {
  database = await testDatabase();
  await migrate(database.url);
  store = connectStore({ url: database.url, logger: silentLogger });
  await store.declare({ source: 'alpaca', calendar: '24x7', partitions: PARTITIONS });
});

afterEach(async () => {
  await store.close();
  await database.drop();
});

test('ranges that the store took, though its answer was lost, are filled all the same', async () => {
  await store.register([{ symbol: 'AAPL', name: null }]);
  let taken: readonly PlannedFill[] = [];
  const addFills = async (ranges: readonly PlannedFill[]) => {
    await store.addFills(ranges);
    if (taken.length > 0) return;
    taken = ranges;
    throw new StoreUnavailable('the connection was lost');
  };
  const fills = createFills({
    source: {
      async *history(_symbol, _from, to) {
        yield { bars: [], answeredTo: to };
      },
    },
    writer: { appendHistory: async () => null, journalOf: () => '', heads: () => null },
    store: { ...store, addFills },
    databaseUrl: database.url,
    calendar: loadCalendar('24x7'),
    historyDays: 3,
    maxPerMin: Number.POSITIVE_INFINITY,
    symbols: () => ['AAPL'],
    time: systemTime,
    logger: silentLogger,
  });
  const stop = new AbortController();
  const running = fills.run(stop.signal);
  await waitFor(() => taken.length > 0 && fills.counters().ranges === taken.length, { timeoutMs: 30_000 });
  expect(await store.pendingFills()).toEqual({ planned: 0, asked: 0 });
  stop.abort();
  await running;
});
