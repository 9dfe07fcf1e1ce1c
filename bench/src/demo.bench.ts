import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CandlesResponse, INTERVALS, SymbolsResponse } from '@candlewire/contracts';
import { freePort, waitFor } from '@candlewire/testkit';
import { cpuSecondsOf } from './process-cpu';
import type { BenchTable } from './table';

const ROOT = join(__dirname, '../..');
const HISTORY_DAYS = 5;
const MINUTES_A_DAY = 1_440;
/** After the fill: Postgres tidies up. */
const SETTLE_MS = 20_000;
const IDLE_MS = 60_000;

/** `npm start` as a user has it: how soon it answers, how soon its charts are full, what it costs when nobody looks. */
export async function demoBench(): Promise<BenchTable> {
  const folder = await mkdtemp(join(tmpdir(), 'candlewire-bench-'));
  try {
    // Postgres may run as another user.
    await chmod(folder, 0o755);
    const first = await demo(folder, async (origin, pid) => {
      const filledMs = await sinceStart(() => isFilled(origin));
      await pause(SETTLE_MS);
      const before = cpuOfTree(pid);
      await pause(IDLE_MS);
      return { filledMs, share: (cpuOfTree(pid) - before) / (IDLE_MS / 1_000) };
    });
    const second = await demo(folder, async () => null);
    return {
      title: 'npm start with the simulator, everything installed and built',
      columns: ['', 'measured', 'bar'],
      rows: [
        ['first start to /health, making the store', seconds(first.healthMs), '10 s'],
        ['second start to /health', seconds(second.healthMs), '10 s'],
        [`first fill, 5 symbols, ${HISTORY_DAYS} days, after /health`, seconds(first.result!.filledMs), '30 s'],
        [
          'CPU when nobody looks, Postgres and Redis included',
          `${(first.result!.share * 100).toFixed(1)} % of a core`,
          '10 %',
        ],
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function demo<T>(dataDir: string, act: (origin: string, pid: number) => Promise<T>) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const child = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      DATA_DIR: dataDir,
      PORT: String(port),
      HISTORY_DAYS: String(HISTORY_DAYS),
    },
  });
  try {
    const healthMs = await sinceStart(() => answers(`${origin}/health`));
    return { healthMs, result: await act(origin, child.pid!) };
  } finally {
    child.kill('SIGINT');
    await once(child, 'exit');
  }
}

async function sinceStart(isThere: () => Promise<boolean>): Promise<number> {
  const started = performance.now();
  await waitFor(isThere, { timeoutMs: 300_000, what: 'the demo comes so far' });
  return performance.now() - started;
}

async function answers(url: string): Promise<boolean> {
  return (await fetch(url).catch(() => null))?.ok === true;
}

/** Every symbol has all its days, and something of every interval. */
async function isFilled(origin: string): Promise<boolean> {
  const { symbols } = SymbolsResponse.parse(await (await fetch(`${origin}/api/symbols`)).json());
  if (symbols.length < 5) return false;
  const from = new Date(Date.now() - HISTORY_DAYS * MINUTES_A_DAY * 60_000).toISOString();
  for (const { symbol } of symbols) {
    for (const interval of INTERVALS) {
      const page = await fetch(`${origin}/api/candles/${symbol}?interval=${interval}&start=${from}&limit=1000`);
      const { candles, next_cursor } = CandlesResponse.parse(await page.json());
      if (interval === '1m' ? next_cursor === null || !isDense(candles) : candles.length === 0) return false;
    }
  }
  return true;
}

/** The oldest thousand minutes without a hole: fills come newest day first, so whatever is newer is there as well. */
function isDense(candles: readonly { timestamp: string }[]): boolean {
  const span = Date.parse(candles.at(-1)!.timestamp) - Date.parse(candles[0]!.timestamp);
  return candles.length === 1_000 && span === 999 * 60_000;
}

function cpuOfTree(pid: number): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // Gone meanwhile.
    }
  }
  const within = (one: number): boolean =>
    one === pid || (parents.has(one) && parents.get(one)! > 1 && within(parents.get(one)!));
  let total = 0;
  for (const one of parents.keys()) if (within(one)) total += cpuSecondsOf(one);
  return total;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
