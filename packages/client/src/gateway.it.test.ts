import { join } from 'node:path';
import {
  describeWithRedis,
  freePort,
  type SpawnedService,
  spawnService,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { CandleTable } from './candle-table.ts';
import { CandlewireClient } from './client.ts';
import type { Interval, SeriesEvent } from './types.ts';

const REPLAY_FILE = join(__dirname, '../../../examples/replay/two-days.csv');
const SYMBOLS = ['ACME', 'GLBX'];
const INTERVALS: readonly Interval[] = ['1m', '5m', '1h', '1d'];

describeWithRedis('against real services', () => {
  const services: SpawnedService[] = [];
  let database: TestDatabase;
  let redis: TestRedis;

  beforeAll(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
  });

  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()));
    await redis.close();
    await database.drop();
  });

  test('followers end with what HTTP answers, whoever joined when, over killed gateways', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix };
    const startGateway = async () => {
      const gateway = spawnService('gateway', { ...env, PORT: String(port) });
      services.push(gateway);
      await gateway.up(async () => (await fetch(`${url}/health`)).ok);
      return gateway;
    };
    const gateway = await startGateway();
    const aggregator = spawnService('aggregator', env);
    services.push(aggregator);

    const client = new CandlewireClient(url, { reconnectMinMs: 50, reconnectMaxMs: 200 });
    const followers: Follower[] = [];
    try {
      // 800 minutes or so, in about fifteen seconds.
      const replay = { SOURCE: 'replay', REPLAY_FILE, REPLAY_SPEED: '4000' };
      services.push(spawnService('ingestor', { ...env, ...replay }));
      // The store's epoch is made with the first source.
      await waitFor(async () => (await client.rest.status()).checks.aggregator.ok, { timeoutMs: 30_000 });
      followers.push(new Follower(client));
      await waitFor(() => followers[0]!.begun === SYMBOLS.length * INTERVALS.length);
      await waitFor(() => followers[0]!.changes > 300, { timeoutMs: 30_000 });
      followers.push(new Follower(client));
      gateway.kill('SIGKILL');
      await gateway.exited;
      const before = followers[0]!.changes;
      const next = await startGateway();
      await waitFor(() => followers[0]!.changes > before + 300, { timeoutMs: 30_000 });
      next.kill('SIGTERM');
      await next.exited;
      await startGateway();
      followers.push(new Follower(client));
      await waitFor(async () => (await client.rest.status()).source.state === 'finished', { timeoutMs: 60_000 });
      for (const symbol of SYMBOLS) {
        for (const interval of INTERVALS) {
          await waitFor(
            async () => {
              const stored = [];
              for await (const { symbol: _, interval: __, epoch: ___, ...candle } of client.history(symbol, interval))
                stored.push(candle);
              expect(stored.every(({ final }) => final)).toBe(true);
              for (const { table } of followers) expect(table.candles(symbol, interval)).toEqual(stored);
              return true;
            },
            { timeoutMs: 40_000, what: `${symbol} ${interval} is the same` },
          );
        }
      }
      expect(followers.flatMap(({ resets, falls }) => [...resets, ...falls])).toEqual([]);
    } finally {
      client.close();
    }
  }, 150_000);
});

/** Folds all that it hears. */
class Follower {
  readonly table = new CandleTable();
  readonly resets: SeriesEvent[] = [];
  /** Changes whose number was not greater than the one before. */
  readonly falls: SeriesEvent[] = [];
  begun = 0;
  changes = 0;
  private readonly seqs = new Map<string, number>();

  constructor(client: CandlewireClient) {
    const apply = (event: SeriesEvent) => this.table.apply(event);
    client.follow(
      { symbols: SYMBOLS, intervals: INTERVALS, history: 1_000 },
      {
        snapshot: (event) => {
          this.begun++;
          this.seqs.set(`${event.symbol} ${event.interval}`, event.seq);
          apply(event);
        },
        candle: (event) => {
          this.changes++;
          const key = `${event.symbol} ${event.interval}`;
          if (event.seq <= (this.seqs.get(key) ?? 0)) this.falls.push(event);
          this.seqs.set(key, event.seq);
          apply(event);
        },
        reset: (event) => {
          this.resets.push(event);
          apply(event);
        },
      },
    );
  }
}
