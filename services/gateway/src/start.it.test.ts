import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectBus } from '@candlewire/bus';
import {
  ApiHealthResponse,
  CandlesResponse,
  channelsOf,
  ErrorResponse,
  type FeedStatus,
  ReadyResponse,
} from '@candlewire/contracts';
import { ConfigError, type Env, type Logger, type Running, runPhases, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate } from '@candlewire/store';
import { describeWithRedis, spawnService, testDatabase, testRedis, waitFor } from '@candlewire/testkit';
import { Client } from 'pg';
import { NO_REDIS, proxyTo, type TestProxy, type TestStore, testStore, testWriter } from './rig.suite';
import { checkGateway, startGateway } from './start';

/** Longer than any test takes. */
const AHEAD_MS = 120_000;
const NO_POSTGRES = 'postgres://nobody@127.0.0.1:1/none';

/** A gateway on a port of its own, which it tells: one that was free a moment ago may be somebody else's by now. */
async function started(env: Env): Promise<{ running: Running; origin: string }> {
  let port: unknown;
  const info: Logger['info'] = (event, fields) => {
    if (event === 'listening') port = fields?.port;
  };
  const running = await startGateway({ ...env, PORT: '0' }, { ...silentLogger, info });
  return { running, origin: `http://127.0.0.1:${port}` };
}

const stop = (running: Running): Promise<boolean> => runPhases(running.shutdown, silentLogger);

describeWithRedis('a gateway', () => {
  let db: TestStore;
  let postgres: TestProxy;
  let redis: TestProxy;
  let env: Env;
  let running: Running;
  let origin: string;
  let keepFeed: (fields?: Partial<FeedStatus>) => Promise<void>;
  let release: () => Promise<void>;

  const ready = async () => {
    const response = await fetch(`${origin}/ready`);
    const { status, checks } = ReadyResponse.strict().parse(await response.json());
    expect(response.status).toBe(status === 'ready' ? 200 : 503);
    return { status, checks };
  };
  const failing = async () => Object.entries((await ready()).checks).flatMap(([name, { ok }]) => (ok ? [] : [name]));
  const becomes = (...names: string[]) =>
    waitFor(async () => `${await failing()}` === `${names}`, { what: `failing checks are ${names}` });
  const health = async () => {
    const response = await fetch(`${origin}/health`);
    expect(response.status).toBe(200);
    return (await response.json()) as unknown;
  };

  beforeEach(async () => {
    db = await testStore();
    const testBus = (await testRedis())!;
    postgres = await proxyTo(db.url);
    redis = await proxyTo(testBus.url);
    env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, REDIS_PREFIX: testBus.prefix, LOG_LEVEL: 'error' };
    const writer = await testWriter(db.store);
    await writer.commit('AAPL', '1m', [[0, 100]]);
    const bus = connectBus({ url: testBus.url, prefix: testBus.prefix, logger: silentLogger });
    await waitFor(() => bus.ping(), { what: 'Redis answers' });
    keepFeed = async (fields = {}) => {
      // Said once for a whole test: ahead of time, so that it does not grow old before the test is over.
      const now = new Date(Date.now() + AHEAD_MS).toISOString();
      const status: FeedStatus = {
        kind: 'simulator',
        state: 'live',
        last_bar_at: now,
        clock: now,
        updated_at: now,
        ...fields,
      };
      await bus.keep({ channel: channelsOf(testBus.prefix).feedStatus, text: JSON.stringify(status) });
    };
    await keepFeed();
    release = async () => {
      await bus.close();
      await testBus.close();
    };
  });

  afterEach(async () => {
    await stop(running);
    await Promise.all([postgres.close(), redis.close(), release()]);
    await db.drop();
  });

  test('listens before Postgres and Redis are there, and becomes ready when they are', async () => {
    await Promise.all([postgres.cut(), redis.cut()]);
    ({ running, origin } = await started(env));
    expect(await health()).toEqual({ status: 'ok', service: 'gateway', uptime_s: expect.any(Number), bus: 'redis' });
    expect((await ready()).checks).toEqual({
      postgres: { ok: false },
      redis: { ok: false, bus: 'redis' },
      aggregator: { ok: false, owned: 0, partitions: 16 },
      feed: { ok: false, state: 'connecting', last_bar_at: null, session: null },
    });
    const response = await fetch(`${origin}/api/candles/AAPL`);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(ErrorResponse.parse(await response.json()).error.code).toBe('unavailable');
    await Promise.all([postgres.heal(), redis.heal()]);
    await becomes();
    expect(CandlesResponse.parse(await (await fetch(`${origin}/api/candles/AAPL`)).json()).candles).toHaveLength(1);
  });

  test('makes the tables of an empty database itself', async () => {
    const empty = await testDatabase();
    ({ running, origin } = await started({ ...env, DATABASE_URL: empty.url }));
    await waitFor(async () => (await fetch(`${origin}/api/symbols`)).status === 200, { what: 'the tables are there' });
    expect((await fetch(`${origin}/api/candles/AAPL`)).status).toBe(404);
    await becomes('aggregator');
    await stop(running);
    await empty.drop();
  });

  test('is not ready while Postgres is away or hangs, stays alive, and comes back by itself', async () => {
    ({ running, origin } = await started(env));
    await becomes();
    await postgres.cut();
    await becomes('postgres', 'aggregator');
    await health();
    for (const path of ['/api/candles/AAPL', '/api/symbols']) expect((await fetch(origin + path)).status).toBe(503);
    const { status, source } = ApiHealthResponse.strict().parse(await (await fetch(`${origin}/api/health`)).json());
    expect([status, source]).toEqual(['degraded', { kind: 'simulator', state: 'live' }]);

    await postgres.heal();
    await becomes();
    postgres.hang();
    await becomes('postgres', 'aggregator');
    expect((await fetch(`${origin}/api/candles/AAPL`)).status).toBe(503);
    await postgres.heal();
    await becomes();
    expect((await fetch(`${origin}/api/candles/AAPL`)).status).toBe(200);
  });

  test('is not ready while Redis is away, answers from the store all the same, and hears the feed again afterwards', async () => {
    ({ running, origin } = await started(env));
    await becomes();
    await redis.cut();
    await becomes('redis');
    expect((await fetch(`${origin}/api/candles/AAPL`)).status).toBe(200);
    await keepFeed({ state: 'failed' });
    await redis.heal();
    await becomes('feed');
  });

  test('follows the feed', async () => {
    ({ running, origin } = await started(env));
    await becomes();
    // A server that is late for once is away in one report.
    await waitFor(async () => {
      const { status, source } = ApiHealthResponse.strict().parse(await (await fetch(`${origin}/api/health`)).json());
      expect([status, source]).toEqual(['healthy', { kind: 'simulator', state: 'live' }]);
      expect((await ready()).checks.feed).toMatchObject({ state: 'live', session: 'regular' });
      return true;
    });
    for (const state of ['failed', 'connecting'] as const) {
      await keepFeed({ state });
      await becomes('feed');
      await waitFor(async () => (await ready()).checks.feed.state === state);
    }
    await keepFeed({ kind: 'replay', state: 'finished', updated_at: '2025-11-03T14:30:00Z' });
    await becomes();
    await keepFeed({ updated_at: '2025-11-03T14:30:00Z' });
    await becomes('feed');
    expect((await ready()).checks.feed.state).toBe('connecting');
  });

  test('is not ready while no aggregator owns anything', async () => {
    await db.store.leave('test');
    ({ running, origin } = await started(env));
    await becomes('aggregator');
  });

  test('goes down step by step: unready, no new connections, the request under way is answered', async () => {
    ({ running, origin } = await started(env));
    await becomes();
    const [unready, stopAccepting, ...rest] = running.shutdown;
    postgres.hang();
    const underWay = fetch(`${origin}/api/candles/AAPL`);
    await unready!.run();
    expect((await ready()).status).toBe('not_ready');
    await stopAccepting!.run();
    await expect(fetch(`${origin}/health`, { headers: { Connection: 'close' } })).rejects.toThrow('fetch failed');

    let down = false;
    const rested = runPhases(rest, silentLogger).finally(() => {
      down = true;
    });
    await new Promise(setImmediate);
    expect(down).toBe(false);
    await postgres.heal();
    const response = await underWay;
    expect([response.status, response.headers.get('connection')]).toEqual([200, 'close']);
    expect(await rested).toBe(true);
  });
});

describe('a store', () => {
  const log: { event: string; fields: unknown }[] = [];
  const note = (event: string, fields?: unknown) => void log.push({ event, fields });
  const logger: Logger = { error: note, warn: note, info: note, debug: note, child: () => logger };

  test('whose exchange calendar has run out is told at start', async () => {
    const { url, drop } = await testDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'candlewire-'));
    const file = join(folder, 'calendar.csv');
    writeFileSync(file, 'date,kind,close_time_local,name\n2019-12-25,holiday,,Christmas\n');
    await migrate(url);
    const store = connectStore({ url, logger: silentLogger });
    await store.declare({ source: 'alpaca', calendar: 'nyse', partitions: 16 });
    const env = { DATABASE_URL: url, REDIS_URL: NO_REDIS, PORT: '0', CALENDAR_FILE: file };
    const running = await startGateway(env, logger);
    const told = () => log.find(({ event }) => event.startsWith('calendar table has ended'));
    expect((await waitFor(told)).fields).toEqual({ lastYear: 2019 });
    await stop(running);
    await store.close();
    await drop();
    rmSync(folder, { recursive: true });
  });

  test('of a newer program ends the gateway', async () => {
    const { url, drop } = await testDatabase();
    await migrate(url);
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query("insert into knex_migrations (name, batch, migration_time) values ('9999_later', 2, now())");
    await client.end();
    const running = await startGateway({ DATABASE_URL: url, REDIS_URL: NO_REDIS, PORT: '0' }, silentLogger);
    await expect(running.done).rejects.toThrow(/9999_later.*update the program/);
    await stop(running);
    await drop();
  });
});

describe('configuration', () => {
  test('is refused as one report, a port in use included', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const wrong = { DATABASE_URL: 'mysql://x', CALENDAR_FILE: '/nowhere.csv', LOG_LEVEL: 'loud', HTTP_MAX_PER_S: '0' };
    const env = { ...wrong, PORT: `${port}` };
    const report = await startGateway(env, silentLogger).catch((err: unknown) => err);
    expect(report).toBeInstanceOf(ConfigError);
    expect((report as ConfigError).problems).toEqual([
      expect.stringMatching(/^LOG_LEVEL: must be one of/),
      expect.stringMatching(/^HTTP_MAX_PER_S: must be/),
      expect.stringMatching(/^DATABASE_URL: must be an address like postgres:/),
      expect.stringMatching(/^REDIS_URL: /),
      `PORT: ${port} is in use on 127.0.0.1`,
    ]);
    expect(await checkGateway({ PORT: `${port}` })).toEqual([`PORT: ${port} is in use on 127.0.0.1`]);
    await new Promise((resolve) => taken.close(resolve));
    expect(await checkGateway({ PORT: `${port}` })).toEqual([]);
  });

  test.each([
    [{ PORT: '65536' }, 'PORT: must be a whole number from 0 to 65535'],
    [{ PORT: '80a' }, 'PORT: must be a whole number from 0 to 65535'],
    [{ HOST: '203.0.113.7', PORT: '0' }, 'HOST: 203.0.113.7 is no address of this machine (EADDRNOTAVAIL)'],
    [{ CALENDAR_FILE: '/nowhere.csv', PORT: '0' }, expect.stringMatching(/^CALENDAR_FILE: .*nowhere.csv/)],
    ...['https://a.example/', 'a.example', '*,https://a.example', 'https://a.example;https://b.example', 'null'].map(
      (CORS_ORIGINS) =>
        [{ CORS_ORIGINS }, 'CORS_ORIGINS: must be * or origins like https://example.com, separated by commas'] as const,
    ),
  ] as const)('%j is told by name', async (env, problem) => {
    expect(await checkGateway(env)).toEqual([problem]);
  });

  test('of a service of its own needs both addresses, and ends it with exit code 1 and no stack trace', async () => {
    const service = spawnService('gateway', { PORT: '0' });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.stderr).toMatch(/^configuration:\n {2}- DATABASE_URL: .+\n {2}- REDIS_URL: .+\n$/);
  });
});

test('the process serves until it is told to stop, and then ends by itself', async () => {
  const service = spawnService('gateway', { PORT: '0', DATABASE_URL: NO_POSTGRES, REDIS_URL: NO_REDIS });
  let port = '';
  await service.up(
    ({ stderr }) =>
      (port =
        /"message":"listening".*"port":(\d+)|"port":(\d+).*"listening"/.exec(stderr)?.slice(1).find(Boolean) ?? '') !==
      '',
  );
  expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
  expect(await service.stop()).toBe(0);
});
