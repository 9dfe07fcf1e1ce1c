import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { toIso } from '@candlewire/contracts';
import { startPostgres, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { spawnService, waitFor } from '@candlewire/testkit';
import { Client } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { cpuSecondsOf } from './process-cpu';
import { type BenchTable, median } from './table';

const SYMBOLS = 10;
const BARS_EACH = 30_000;
const ROUNDS = 3;
const SESSION_MINUTES = 390;

export interface Cost {
  readonly wallS: number;
  readonly cpuS: number;
}

/**
 * A file replayed as fast as it goes, through the real processes into a real Postgres, against COPY of exactly the rows
 * that it leaves: what storing them costs if nothing has to be computed, ordered, revised or told to anybody.
 */
export async function replayBench(): Promise<BenchTable> {
  const folder = await mkdtemp(join(tmpdir(), 'candlewire-bench-'));
  try {
    // Postgres may run as another user.
    await chmod(folder, 0o755);
    const file = join(folder, 'bars.csv');
    await writeBars(file);
    const replays: (Cost & { rows: number; parts: string })[] = [];
    const copies: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // Data that is kept, so that commits are as careful as in earnest.
      const postgres = await startPostgres({ dataDir: join(folder, `data-${round}`), logger: silentLogger });
      try {
        replays.push(await replay(file, postgres.url));
        copies.push(await copy(postgres.url));
      } finally {
        await postgres.stop();
      }
    }
    const wall = (costs: readonly Cost[]) => median(costs.map(({ wallS }) => wallS));
    const cpu = (costs: readonly Cost[]) => median(costs.map(({ cpuS }) => cpuS));
    return {
      title: `Replay of ${(SYMBOLS * BARS_EACH).toLocaleString('en-US')} bars at max speed, median of ${ROUNDS} rounds`,
      columns: ['', 'wall s', 'CPU s', 'bars per CPU s'],
      rows: [
        ['replay: ingestor + aggregator', wall(replays), cpu(replays), (SYMBOLS * BARS_EACH) / cpu(replays)],
        ['COPY of the stored rows: client + backend', wall(copies), cpu(copies), (SYMBOLS * BARS_EACH) / cpu(copies)],
        ['ratio', wall(replays) / wall(copies), cpu(replays) / cpu(copies), ''],
      ],
      notes: [
        `${replays[0]!.rows.toLocaleString('en-US')} rows stored; CPU of the last round: ${replays.at(-1)!.parts}`,
        'COPY: text made beforehand, streamed into a table with the same indexes; bars: at most 6 times its CPU, 8 times its wall time',
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Minutes of a random walk, sessions only, in the order in which a feed would deliver them. */
async function writeBars(file: string): Promise<void> {
  const out = createWriteStream(file);
  out.write('symbol,timestamp,open,high,low,close,volume,trade_count,vwap\n');
  const prices = Array.from({ length: SYMBOLS }, (_, i) => 50 + 20 * i);
  const monday = Date.UTC(2025, 0, 6, 14, 30);
  for (let minute = 0; minute < BARS_EACH; minute++) {
    const day = Math.floor(minute / SESSION_MINUTES);
    const openTime = monday + (day + 2 * Math.floor(day / 5)) * 86_400_000 + (minute % SESSION_MINUTES) * 60_000;
    let lines = '';
    for (let symbol = 0; symbol < SYMBOLS; symbol++) {
      const open = prices[symbol]!;
      const close = Math.max(1, open + Math.sin(minute * 12.9898 + symbol * 78.233) * 0.08);
      const spread = Math.abs(Math.cos(minute * 3.7 + symbol)) * 0.05;
      prices[symbol] = close;
      const cells = [open, Math.max(open, close) + spread, Math.min(open, close) - spread, close].map((x) =>
        x.toFixed(2),
      );
      lines += `SYM${symbol},${toIso(openTime)},${cells.join(',')},${100 + (minute % 900)},${1 + (minute % 40)},${((open + close) / 2).toFixed(4)}\n`;
    }
    if (!out.write(lines)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
}

/** Plays a file of so many bars through an ingestor and an aggregator of its own, until every candle is stored and final. */
export async function replay(
  file: string,
  databaseUrl: string,
  bars = SYMBOLS * BARS_EACH,
): Promise<Cost & { rows: number; parts: string }> {
  const redis = await startRedis({ dataDir: null, download: true, logger: silentLogger });
  if ('missing' in redis) throw new Error(redis.missing);
  const env = { DATABASE_URL: databaseUrl, REDIS_URL: redis.url, LOG_LEVEL: 'info' };
  const db = new Client(databaseUrl);
  const started = process.hrtime.bigint();
  const aggregator = spawnService('aggregator', env);
  const ingestor = spawnService('ingestor', { ...env, SOURCE: 'replay', REPLAY_FILE: file, REPLAY_SPEED: 'max' });
  try {
    await ingestor.up(({ stderr }) => stderr.includes('replay finished'), 600_000);
    await db.connect();
    const open =
      'select (select count(*) from candles where not final) + (select count(*) from candles) * 0 as n, (select count(*) from candles) as rows';
    let rows = 0;
    await waitFor(
      async () => {
        const [found] = (await db.query<{ n: string; rows: string }>(open)).rows;
        rows = Number(found!.rows);
        return rows > bars && Number(found!.n) === 0;
      },
      { timeoutMs: 600_000, what: 'every candle is stored and final' },
    );
    const wallS = Number(process.hrtime.bigint() - started) / 1e9;
    const [ingestorS, aggregatorS] = [cpuSecondsOf(ingestor.pid), cpuSecondsOf(aggregator.pid)];
    const parts = `ingestor ${ingestorS.toFixed(1)} s, aggregator ${aggregatorS.toFixed(1)} s, starting both included`;
    return { wallS, cpuS: ingestorS + aggregatorS, rows, parts };
  } finally {
    await db.end();
    await ingestor.stop();
    await aggregator.stop();
    await redis.stop();
  }
}

async function copy(databaseUrl: string): Promise<Cost> {
  const db = new Client(databaseUrl);
  await db.connect();
  try {
    const text = await buffer(db.query(copyTo('copy (select * from candles order by ts, symbol, interval) to stdout')));
    await db.query('create table copied (like candles including all)');
    const pid = (await db.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;
    const started = process.hrtime.bigint();
    const client = process.cpuUsage();
    const backend = cpuSecondsOf(pid);
    await pipeline(Readable.from(pieces(text)), db.query(copyFrom('copy copied from stdin')));
    const { user, system } = process.cpuUsage(client);
    const cpuS = (user + system) / 1e6 + cpuSecondsOf(pid) - backend;
    return { wallS: Number(process.hrtime.bigint() - started) / 1e9, cpuS };
  } finally {
    await db.end();
  }
}

function* pieces(text: Buffer): Generator<Buffer> {
  for (let at = 0; at < text.length; at += 65_536) yield text.subarray(at, at + 65_536);
}
