import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAggregator } from '@candlewire/aggregator';
import { createInProcessBus } from '@candlewire/bus';
import { startGateway } from '@candlewire/gateway';
import { startIngestor } from '@candlewire/ingestor';
import { createMetrics, type Phase, runPhases, silentLogger } from '@candlewire/runtime';
import { freePort, type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';

const PAGE = readFileSync(join(__dirname, '../docs/operations.md'), 'utf8');
const SECTION = /## Metrics and alerts\n([\s\S]*?)\n## /.exec(PAGE)![1]!;

/** As `npm start` has them: three services, one bus, one page of metrics. */
describe('all services of one process', () => {
  const shutdown: Phase[] = [];
  let database: TestDatabase;
  let origin: string;

  beforeAll(async () => {
    database = await testDatabase();
    const hub = createInProcessBus({ logger: silentLogger });
    const port = await freePort();
    const env = { DATABASE_URL: database.url, PORT: String(port), HISTORY_DAYS: '1', SYMBOLS: 'AAPL' };
    const metrics = createMetrics();
    for (const start of [startIngestor, startAggregator, startGateway]) {
      const running = await start(env, silentLogger, { bus: hub.connect(), metrics });
      shutdown.unshift(...running.shutdown);
    }
    origin = `http://127.0.0.1:${port}`;
  });

  afterAll(async () => {
    await runPhases(shutdown, silentLogger);
    await database.drop();
  });

  const scrape = async () => (await fetch(`${origin}/metrics`)).text();
  const numberOf = (text: string, name: string) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`candlewire_${name} `))
        ?.split(' ')[1],
    );
  const becomes = (name: string, isRight: (value: number) => boolean) =>
    waitFor(async () => isRight(numberOf(await scrape(), name)), { timeoutMs: 30_000, what: name });

  test('tell what flows through them at the gateway', async () => {
    await becomes('ingestor_history_bars_total', (bars) => bars > 1_000);
    await becomes('ingestor_leads', (one) => one === 1);
    await becomes('ingestor_history_requests_total', (requests) => requests > 0);
    await becomes('ingestor_history_queued_ranges', (ranges) => ranges >= 0);
    await becomes('aggregator_bars_total', (bars) => bars > 1_000);
    await becomes('aggregator_candles_total{interval="1h"}', (candles) => candles > 10);
    await becomes('aggregator_ticks_total', (ticks) => ticks > 0);
    await becomes('ingestor_ticks_total', (ticks) => ticks > 0);
    await becomes('gateway_feed_bars', (bars) => bars > 1_000);
    await becomes('gateway_feed_state{state="live"}', (one) => one === 1);
    await becomes('aggregator_partitions_owned', (owned) => owned === 16);
    const response = await fetch(`${origin}/metrics`);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await response.text();
    expect(numberOf(text, 'gateway_feed_age_seconds')).toBeLessThan(15);
    expect(text.match(/^# TYPE process_cpu_seconds_total /gm)).toHaveLength(1);
  });

  test('docs/operations.md lists every metric, and no other', async () => {
    await becomes('aggregator_partitions_owned', (owned) => owned > 0);
    const text = await scrape();
    const told = [...text.matchAll(/^# TYPE (candlewire_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    const rows = [...SECTION.matchAll(/^\| `(candlewire_\w+)(?:\{[\w,]+\})?` \| (\w+) \|/gm)];
    expect(rows.map(([, name, type]) => `${name} ${type}`).sort()).toEqual(told.sort());
  });

  test('labels and names that docs/operations.md asks for are there', async () => {
    await becomes('aggregator_partitions_owned', (owned) => owned > 0);
    const text = await scrape();
    const names = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map((match) => match[1]!));
    const asked = [...SECTION.matchAll(/\b(?:candlewire|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name);
    expect(asked.length).toBeGreaterThan(50);
    for (const name of asked) {
      expect([name, names.has(name) || names.has(name.replace(/_(bucket|sum|count)$/, ''))]).toEqual([name, true]);
    }
    const labels = new Map(
      [...SECTION.matchAll(/^\| `(candlewire_\w+)\{([\w,]+)\}`/gm)].map(([, name, list]) => [name!, list!.split(',')]),
    );
    for (const [, sample, list] of text.matchAll(/^(candlewire_\w+)\{([^}]*)\}/gm)) {
      const given = [...list!.matchAll(/(\w+)="/g)].map((match) => match[1]!).filter((label) => label !== 'le');
      const documented = labels.get(sample!.replace(/_(bucket|sum|count)$/, '')) ?? [];
      expect([sample, given]).toEqual([sample, documented]);
    }
  });
});
