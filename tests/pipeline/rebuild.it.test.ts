import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { MINUTE_MS } from '@candlewire/contracts';
import { bar, describeWithRedis, MONDAY_OPEN, waitFor } from '@candlewire/testkit';
import { type DeliveryLog, writeLog } from './delivery-log';
import { createPipeline, expectSameLines, PATIENCE_MS, type Pipeline } from './harness';
import { startProxy, type TcpProxy } from './proxy';

const COMMAND = join(__dirname, '../../scripts/rebuild.mjs');
const SYMBOLS = ['AAPL', 'MSFT'];
const MINUTES = 3_000;
const TEST_MS = 3 * PATIENCE_MS;

describeWithRedis('npm run rebuild', () => {
  let pipeline: Pipeline;
  let postgres: TcpProxy;
  let log: DeliveryLog;
  let url: string;
  let right: string[];

  beforeAll(async () => {
    pipeline = await createPipeline();
    postgres = await startProxy(pipeline.databaseUrl);
    pipeline.spawn('aggregator', { DATABASE_URL: postgres.through(pipeline.databaseUrl) });
    const bars = Array.from({ length: MINUTES }, (_, minute) =>
      SYMBOLS.map((symbol, n) =>
        bar({ symbol, openTime: MONDAY_OPEN + minute * MINUTE_MS, close: 100 + 5 * Math.sin((minute + n) * 12.9898) }),
      ),
    ).flat();
    log = writeLog(bars.map((one) => ({ arrival: one.openTime + MINUTE_MS, bar: one })));
    pipeline.replay(log.file);
    await waitFor(() => pipeline.isPlayed(log.deliveries), { timeoutMs: PATIENCE_MS, what: 'everything is played' });
    await pipeline.consumed();
    url = await pipeline.gateway();
    right = await pipeline.candles();
  }, TEST_MS);

  afterAll(async () => {
    await pipeline.close();
    await postgres.close();
    log.remove();
  });

  async function rebuild(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [COMMAND, '--url', url, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        output[stream] += text;
      });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, ...output };
  }

  test(
    'says that everything is equal where nothing was touched',
    async () => {
      const { code, stdout } = await rebuild('--symbols', 'AAPL,MSFT', '--from', '2024-01-01');
      expect([code, stdout]).toEqual([0, `equal: ${right.length} candles\n`]);
    },
    TEST_MS,
  );

  test(
    'tells each difference and corrects it, though the partitions change hands meanwhile',
    async () => {
      await pipeline.sql(`update candles set volume = 7 where symbol = 'AAPL' and interval = '5m' and ts = $1`, [
        new Date(MONDAY_OPEN),
      ]);
      await pipeline.sql(`update candles set ma40 = 7 where symbol = 'MSFT' and interval = '1m' and ts = $1`, [
        new Date(MONDAY_OPEN + 2_500 * MINUTE_MS),
      ]);
      await pipeline.sql(`delete from candles where symbol = 'MSFT' and interval = '1d' and ts = $1`, [
        new Date(Date.UTC(2025, 10, 3, 5)),
      ]);
      // The first day is stored, and Postgres never hears of a later one from this owner.
      let days = 0;
      postgres.holdFrom((chunk) => chunk.includes('\0rebuild_commit\0') && ++days > 1);
      const running = rebuild('--symbols', 'AAPL,MSFT');
      await waitFor(() => postgres.held > 0, { timeoutMs: PATIENCE_MS, what: 'the rebuild is in its midst' });
      await pipeline.endLeases();
      pipeline.spawn('aggregator');
      const { code, stdout } = await running;
      const lines = stdout.trim().split('\n').sort();
      expect(code).toBe(0);
      expect(lines).toEqual([
        'AAPL 5m 2025-11-03T14:30:00Z different: volume 7 -> 500',
        'MSFT 1d 2025-11-03T05:00:00Z missing',
        expect.stringMatching(/^MSFT 1m 2025-11-05T08:10:00Z different: MA40 7 -> \d+\.\d+$/),
        `different: 3 of ${right.length} candles, all corrected`,
      ]);
      expectSameLines(await pipeline.candles(), right);
    },
    TEST_MS,
  );

  test('says what is wrong with a call, and fails', async () => {
    expect(await rebuild('--symbols', 'NOBODY')).toMatchObject({ code: 1, stderr: expect.stringContaining('NOBODY') });
    expect(await rebuild()).toMatchObject({ code: 1, stderr: expect.stringContaining('--symbols') });
  });
});
