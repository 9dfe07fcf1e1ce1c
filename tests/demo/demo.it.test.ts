import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startAggregator } from '@candlewire/aggregator';
import { type Bus, createInProcessBus } from '@candlewire/bus';
import { ReadyResponse } from '@candlewire/contracts';
import { startGateway } from '@candlewire/gateway';
import { startIngestor } from '@candlewire/ingestor';
import { type Env, type Phase, runPhases, silentLogger } from '@candlewire/runtime';
import { describeWithRedis, freePort, type TestDatabase, testDatabase, testRedis, waitFor } from '@candlewire/testkit';

const ROOT = join(__dirname, '../..');
const PATIENCE_MS = 120_000;
const TEST_MS = 300_000;

let database: TestDatabase;
let origin: string;
let shutdown: Phase[] = [];

beforeEach(async () => {
  database = await testDatabase();
});

afterEach(async () => {
  expect(await runPhases(shutdown.splice(0), silentLogger)).toBe(true);
  await database.drop();
});

/** The three services on the simulator, as the demo has them. */
async function start(env: Env, bus: () => { bus?: Bus }): Promise<void> {
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  const all = { DATABASE_URL: database.url, PORT: String(port), HISTORY_DAYS: '1', ...env };
  for (const service of [startIngestor, startAggregator, startGateway]) {
    shutdown = [...(await service(all, silentLogger, bus())).shutdown, ...shutdown];
  }
}

/** What a user checks a system with: every call, both WebSockets, and a live price and bar on each. */
async function smoke(): Promise<string> {
  const child = spawn(process.execPath, ['scripts/smoke.mjs', origin], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  return output;
}

/** A chart of any interval has something to show. */
async function hasCharts(): Promise<boolean> {
  for (const interval of ['1m', '5m', '1h', '1d']) {
    const response = await fetch(`${origin}/api/candles/AAPL?interval=${interval}&limit=1000`);
    const { candles = [] } = (await response.json()) as { candles?: unknown[] };
    if (candles.length < (interval === '1m' ? 100 : 1)) return false;
  }
  return true;
}

async function expectLive(bus: string): Promise<void> {
  await waitFor(hasCharts, { timeoutMs: PATIENCE_MS, what: 'every interval has candles' });
  expect(await (await fetch(`${origin}/health`)).json()).toMatchObject({ status: 'ok', bus });
  // A busy machine may let it answer too late.
  const redis = await waitFor(async () => {
    const { checks } = ReadyResponse.parse(await (await fetch(`${origin}/ready`)).json());
    return checks.redis.ok && checks.redis;
  });
  expect(redis).toMatchObject({ bus });
  expect(await smoke()).toMatch(/\n\d+ passed, 0 failed\n/);
}

describeWithRedis('the demo on Redis', () => {
  test(
    'serves a live market',
    async () => {
      const redis = (await testRedis())!;
      await start({ REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix }, () => ({}));
      await expectLive('redis');
      await runPhases(shutdown.splice(0), silentLogger);
      await redis.close();
    },
    TEST_MS,
  );
});

describe('the demo on the in-process bus', () => {
  test(
    'serves a live market',
    async () => {
      const hub = createInProcessBus({ logger: silentLogger });
      await start({}, () => ({ bus: hub.connect() }));
      await expectLive('in-process');
    },
    TEST_MS,
  );
});
