import { createInProcessBus } from '@candlewire/bus';
import { channelsOf, decodeEntry, decodeTicks, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { ConfigError, runPhases, silentLogger } from '@candlewire/runtime';
import { connectStore } from '@candlewire/store';
import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { startIngestor } from './start';

let database: TestDatabase;
beforeEach(async () => {
  database = await testDatabase();
});
afterEach(() => database.drop());

test('a simulator on a bus within the process needs no Redis, and stops without a trace of an error', async () => {
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const store = connectStore({ url: database.url, logger: silentLogger });
  const ticked = new Set<string>();
  for (let p = 0; p < PARTITIONS; p++) {
    await bus.subscribe(channelsOf().ticks(p), (text) => {
      for (const { symbol } of decodeTicks(text)) ticked.add(symbol);
    });
  }
  const env = { DATABASE_URL: database.url, SIM_CALENDAR: '24x7', HISTORY_DAYS: '1' };
  const { shutdown, done } = await startIngestor(env, silentLogger, { bus });
  await waitFor(() => ticked.size === 5, { timeoutMs: 30_000, what: 'the default symbols tick' });
  expect([...ticked].sort()).toEqual(['AAPL', 'AMZN', 'MSFT', 'NVDA', 'SPY']);
  expect(await store.identity()).toMatchObject({ source: 'simulator', calendar: '24x7' });
  expect(await store.activeSymbols()).toEqual([...ticked].sort());
  const history = await waitFor(
    async () => {
      const { entries } = await bus.journal.read(partitionOf('AAPL'), { id: '', last: 0 }, 100);
      const found = entries.flatMap(({ text }) => decodeEntry(text).entry.bars).filter(({ rev }) => rev === 4);
      return found.length > 0 && found;
    },
    { timeoutMs: 30_000, what: 'history is filled' },
  );
  expect(history[0]!.symbol).toBe('AAPL');
  expect(await runPhases(shutdown, silentLogger)).toBe(true);
  await done;
  // The bus belongs to whoever brought it.
  expect(await bus.ping()).toBe(true);
  await Promise.all([bus.close(), store.close()]);
});

test('without a bus of its own it names what it misses', async () => {
  const start = startIngestor({ SOURCE: 'alpaca' }, silentLogger);
  await expect(start).rejects.toBeInstanceOf(ConfigError);
  await expect(start).rejects.toMatchObject({
    problems: [
      'REDIS_URL: must be set',
      'DATABASE_URL: must be set',
      expect.stringMatching(/^SOURCE: alpaca is not part of this version/),
    ],
  });
});
