import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { MINUTE_MS } from '@candlewire/contracts';
import { bar, describeWithRedis, MONDAY_OPEN, waitFor } from '@candlewire/testkit';
import { type DeliveryLog, writeLog } from './delivery-log';
import { createPipeline, expectSameLines, PATIENCE_MS, type Pipeline } from './harness';

const COMMAND = join(__dirname, '../../scripts/rebuild.mjs');
const SYMBOLS = ['AAPL', 'MSFT'];
const MINUTES = 3_000;

describeWithRedis('npm run rebuild', () => {
  let pipeline: Pipeline;
  let log: DeliveryLog;
  let url: string;
  let right: string[];

  beforeAll(async () => {
    pipeline = await createPipeline();
    pipeline.spawn('aggregator');
    const bars = Array.from({ length: MINUTES }, (_, minute) =>
      SYMBOLS.map((symbol, n) =>
        bar({ symbol, openTime: MONDAY_OPEN + minute * MINUTE_MS, close: 100 + 5 * Math.sin((minute + n) * 12.9898) }),
      ),
    ).flat();
    log = writeLog(bars.map((one) => ({ arrival: one.openTime + MINUTE_MS, bar: one })));
    pipeline.replay(log.file);
    await waitFor(() => pipeline.isPlayed(log.deliveries), { timeoutMs: PATIENCE_MS, what: 'everything is stored' });
    url = await pipeline.gateway();
    right = await pipeline.candles();
  }, 2 * PATIENCE_MS);

  afterAll(async () => {
    await pipeline.close();
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

  test('says that everything is equal where nothing was touched', async () => {
    const { code, stdout } = await rebuild('--symbols', 'AAPL,MSFT', '--from', '2024-01-01');
    expect([code, stdout]).toEqual([0, `equal: ${right.length} candles\n`]);
  }, 60_000);

  test('tells each difference and corrects it, though the partitions change hands meanwhile', async () => {
    await pipeline.sql(`update candles set volume = 7 where symbol = 'AAPL' and interval = '5m' and ts = $1`, [
      new Date(MONDAY_OPEN),
    ]);
    await pipeline.sql(`update candles set ma40 = 7 where symbol = 'MSFT' and interval = '1m' and ts = $1`, [
      new Date(MONDAY_OPEN + 2_500 * MINUTE_MS),
    ]);
    await pipeline.sql(`delete from candles where symbol = 'MSFT' and interval = '1d' and ts = $1`, [
      new Date(Date.UTC(2025, 10, 3, 5)),
    ]);
    const running = rebuild('--symbols', 'AAPL,MSFT');
    await waitFor(async () => (await pipeline.sql('select from rebuild_parts where not done')).length > 0, {
      what: 'the rebuild runs',
    });
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
  }, 60_000);

  test('says what is wrong with a call, and fails', async () => {
    expect(await rebuild('--symbols', 'NOBODY')).toMatchObject({ code: 1, stderr: expect.stringContaining('NOBODY') });
    expect(await rebuild()).toMatchObject({ code: 1, stderr: expect.stringContaining('--symbols') });
  });
});
