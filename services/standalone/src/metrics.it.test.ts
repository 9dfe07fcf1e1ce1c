import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Env, runPhases, silentLogger } from '@candlewire/runtime';
import {
  describeWithRedis,
  freePort,
  type TestDatabase,
  type TestRedis,
  testDatabase,
  testRedis,
  waitFor,
} from '@candlewire/testkit';
import { startStandalone } from './standalone';

const start = (env: Env) => startStandalone({ env, loggerOf: () => silentLogger, print: () => {} });

describeWithRedis('metrics of everything in one process', () => {
  let database: TestDatabase;
  let redis: TestRedis;
  let env: Env;

  beforeEach(async () => {
    database = await testDatabase();
    redis = (await testRedis())!;
    env = { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix, HISTORY_DAYS: '0' };
  });
  afterEach(async () => {
    await redis.close();
    await database.drop();
  });

  test('are one page, at the gateway and at a port of their own, until it stops', async () => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const running = await start({ ...env, PORT: String(port), METRICS_PORT: String(metricsPort) });
    running.done?.catch(() => {});
    const pages = [port, metricsPort].map((one) => `http://127.0.0.1:${one}/metrics`);
    for (const page of pages) {
      const text = await waitFor(
        async () => {
          const found = await (await fetch(page)).text();
          return found.includes('candlewire_aggregator_partitions_owned 16') && found;
        },
        { timeoutMs: 30_000, what: 'the aggregator owns all' },
      );
      expect(text).toContain('candlewire_ingestor_bars_total{source="simulator"}');
      expect(text).toContain('candlewire_gateway_connections 0');
      expect(text.match(/^# TYPE nodejs_eventloop_lag_seconds /gm)).toHaveLength(1);
    }
    expect(await runPhases(running.shutdown, silentLogger)).toBe(true);
    for (const page of pages) await expect(fetch(page)).rejects.toThrow();
  });

  test('a METRICS_PORT in use is told with everything else that is wrong', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(start({ ...env, PORT: '0', METRICS_PORT: String(port), SIM_SEED: 'x' })).rejects.toMatchObject({
      problems: expect.arrayContaining([
        `METRICS_PORT: ${port} is in use on 127.0.0.1`,
        expect.stringMatching(/^SIM_SEED: /),
      ]),
    });
    taken.close();
  });
});
