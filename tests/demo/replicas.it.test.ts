import {
  describeWithRedis,
  freePort,
  type SpawnedService,
  spawnService,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { WebSocket } from 'ws';

const PATIENCE_MS = 120_000;
const TEST_MS = 300_000;

interface Row {
  readonly timestamp: string;
}

/** Rows of `/ws/candles` folded by timestamp, as a chart does it. */
function follow(origin: string): { rows: Map<string, Row>; closed: Promise<number>; close(): void } {
  const rows = new Map<string, Row>();
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/ws/candles/AAPL?timeframe=1Min&limit=50`);
  socket.on('message', (data) => {
    const message = JSON.parse(data.toString());
    if (message.type === 'historical') for (const row of message.data) rows.set(row.timestamp, row);
    if (message.type === 'bar') {
      const {
        type: _type,
        symbol: _symbol,
        timeframe: _timeframe,
        final: _final,
        revision: _revision,
        ...row
      } = message;
      rows.set(row.timestamp, row);
    }
  });
  socket.on('error', () => {});
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
  });
  return { rows, closed, close: () => socket.close() };
}

describeWithRedis('two gateways and two aggregators', () => {
  test(
    'give every client the same, also after one of each was killed',
    async () => {
      const database = await testDatabase();
      const redis = (await testRedis())!;
      const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix };
      const services: SpawnedService[] = [];
      const run = (name: string, extra: Readonly<Record<string, string>> = {}): SpawnedService => {
        const service = spawnService(name, { ...env, ...extra });
        services.push(service);
        return service;
      };
      const gateway = async () => {
        const port = await freePort();
        const origin = `http://127.0.0.1:${port}`;
        const service = run('gateway', { PORT: String(port) });
        await service.up(async () => (await fetch(`${origin}/health`).catch(() => null))?.ok === true, PATIENCE_MS);
        return { service, origin };
      };
      const historical = async (origin: string): Promise<Row[]> => {
        const response = await fetch(`${origin}/api/symbols/AAPL/historical?timeframe=1Min&limit=50`);
        return ((await response.json()) as { data?: Row[] }).data ?? [];
      };
      try {
        run('ingestor', { HISTORY_DAYS: '1', SYMBOLS: 'AAPL,MSFT' });
        const [doomed] = [run('aggregator'), run('aggregator')];
        const [first, second] = [await gateway(), await gateway()];
        await waitFor(async () => (await historical(first.origin)).length === 50, {
          timeoutMs: PATIENCE_MS,
          what: 'a page of history',
        });
        const [one, two] = [follow(first.origin), follow(second.origin)];
        await waitFor(() => one.rows.size >= 50 && two.rows.size >= 50, {
          timeoutMs: PATIENCE_MS,
          what: 'both have history',
        });

        doomed.kill('SIGKILL');
        first.service.kill('SIGKILL');
        expect(await one.closed).toBe(1006);
        const newest = (await historical(second.origin)).at(-1)!.timestamp;
        const again = follow(second.origin);
        // A minute that only the aggregator which is left can have stored.
        await waitFor(async () => [...two.rows.keys()].filter((time) => time > newest).length >= 2, {
          timeoutMs: PATIENCE_MS + 60_000,
          what: 'two more minutes on the surviving gateway',
        });
        await waitFor(
          async () => {
            const page = await historical(second.origin);
            return [two, again].every(({ rows }) =>
              page.every((row) => JSON.stringify(rows.get(row.timestamp)) === JSON.stringify(row)),
            );
          },
          { timeoutMs: PATIENCE_MS, what: 'what was followed equals what REST tells' },
        );
        again.close();
        two.close();
      } finally {
        for (const service of services) service.kill('SIGTERM');
        await Promise.all(services.map(({ exited }) => exited));
        await redis.close();
        await database.drop();
      }
    },
    TEST_MS,
  );
});
