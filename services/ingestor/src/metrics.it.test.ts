import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInProcessBus } from '@candlewire/bus';
import { partitionOf } from '@candlewire/contracts';
import { ConfigError, runPhases, silentLogger } from '@candlewire/runtime';
import { freePort, type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { startIngestor } from './start';

const CSV = `symbol,timestamp,open,high,low,close,volume
AAPL,2025-11-03T14:30:00Z,100,101,99,100.5,1000
AAPL,2025-11-03T14:31:00Z,-1,102,-1,101,2000
AAPL,2025-11-03T14:32:00Z,100.5,102,100,101,2000
`;

let database: TestDatabase;
let folder: string;
beforeEach(async () => {
  database = await testDatabase();
  folder = mkdtempSync(join(tmpdir(), 'metrics-'));
  writeFileSync(join(folder, 'bars.csv'), CSV);
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

const env = (port: number) => ({
  DATABASE_URL: database.url,
  METRICS_PORT: String(port),
  SOURCE: 'replay',
  REPLAY_FILE: join(folder, 'bars.csv'),
  REPLAY_SPEED: 'max',
});

async function scrape(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return response.text();
}

test('an ingestor tells what it delivers, refuses, and what waits, at a port of its own until it is stopped', async () => {
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const port = await freePort();
  const { shutdown } = await startIngestor(env(port), silentLogger, { bus });
  // What is asked of the bus is left out of a page where it takes too long.
  const played = [
    '\ncandlewire_ingestor_bars_total{source="replay"} 2\n',
    `\ncandlewire_ingestor_waiting_bars{partition="${partitionOf('AAPL')}"} 2\n`,
  ];
  const text = await waitFor(
    async () => {
      const found = await scrape(port);
      return played.every((line) => found.includes(line)) && found;
    },
    { what: 'the file was played' },
  );
  const samples = text.split('\n').filter((line) => line.startsWith('candlewire_'));
  expect(samples).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^candlewire_ingestor_entries_total [1-9]/),
      'candlewire_ingestor_refused_total{reason="non_positive_price"} 1',
      `candlewire_ingestor_waiting_bars{partition="${(partitionOf('AAPL') + 1) % 16}"} 0`,
      'candlewire_ingestor_ticks_total 0',
    ]),
  );
  // A replay has no history.
  expect(text).toContain('# TYPE candlewire_ingestor_history_bars_total counter');
  expect(samples.filter((line) => line.includes('history'))).toEqual([]);

  expect(await runPhases(shutdown, silentLogger)).toBe(true);
  await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow();
  await bus.close();
});

test('a METRICS_PORT in use is told by name', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const start = startIngestor(env(port), silentLogger, { bus });
  await expect(start).rejects.toBeInstanceOf(ConfigError);
  await expect(start).rejects.toMatchObject({ problems: [`METRICS_PORT: ${port} is in use on 127.0.0.1`] });
  taken.close();
  await bus.close();
});
