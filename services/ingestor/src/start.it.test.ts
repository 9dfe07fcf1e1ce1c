import { createInProcessBus } from '@candlewire/bus';
import { channelsOf, decodeEntry, decodeTicks, FeedStatus, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { ConfigError, runPhases, silentLogger } from '@candlewire/runtime';
import { connectStore } from '@candlewire/store';
import {
  FAKE_KEY,
  FAKE_SECRET,
  startFakeAlpaca,
  type TestDatabase,
  testDatabase,
  waitFor,
  wallClock,
} from '@candlewire/testkit';
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

test('alpaca is asked for what is registered, then for what somebody watches, up to its limit', async () => {
  const fake = await startFakeAlpaca({ clock: wallClock, plan: { symbolsMax: 3 } });
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const store = connectStore({ url: database.url, logger: silentLogger });
  const status = async () => FeedStatus.parse(JSON.parse((await bus.kept(channelsOf().feedStatus)) ?? '{}'));
  const env = {
    DATABASE_URL: database.url,
    SOURCE: 'alpaca',
    ALPACA_API_KEY: FAKE_KEY,
    APCA_API_SECRET_KEY: FAKE_SECRET,
    ALPACA_STREAM_URL: fake.origin.replace('http', 'ws'),
    ALPACA_DATA_URL: fake.origin,
    ALPACA_MAX_SYMBOLS: '3',
    SYMBOLS: 'AAPL,MSFT',
    HISTORY_DAYS: '1',
  };
  const subscribed = (...symbols: string[]) =>
    waitFor(() => fake.live[0]?.subscribed.bars?.join() === symbols.join(), { timeoutMs: 30_000, what: `${symbols}` });
  const { shutdown, done } = await startIngestor(env, silentLogger, { bus });
  await subscribed('AAPL', 'MSFT');
  await waitFor(async () => ['live', 'backfilling'].includes((await status()).state), { timeoutMs: 30_000 });
  expect(await store.identity()).toMatchObject({ source: 'alpaca', calendar: 'nyse' });
  await bus.demand.want(['SPY', 'NVDA'], 60_000);
  await subscribed('AAPL', 'MSFT', 'SPY');
  await waitFor(async () => (await status()).left_out?.join() === 'NVDA', { timeoutMs: 30_000 });
  // As a gateway deletes it: its place goes to whoever waits.
  await store.deactivate('MSFT');
  await bus.publish([{ channel: channelsOf().symbols, text: 'MSFT' }]);
  await subscribed('AAPL', 'NVDA', 'SPY');
  expect(fake.connections).toHaveLength(1);
  await waitFor(() => fake.requests.some(({ status: code }) => code === 200), { timeoutMs: 30_000 });
  expect(await runPhases(shutdown, silentLogger)).toBe(true);
  await done;
  expect(fake.live).toEqual([]);
  await Promise.all([bus.close(), store.close(), fake.close()]);
});

test('without a bus of its own it names what it misses', async () => {
  const start = startIngestor({ SOURCE: 'alpaca' }, silentLogger);
  await expect(start).rejects.toBeInstanceOf(ConfigError);
  await expect(start).rejects.toMatchObject({
    problems: [
      'REDIS_URL: must be set',
      'DATABASE_URL: must be set',
      'ALPACA_API_KEY: must be set for SOURCE=alpaca',
      'ALPACA_SECRET: must be set for SOURCE=alpaca',
    ],
  });
});
