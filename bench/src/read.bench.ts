import { fork } from 'node:child_process';
import { Agent, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { MARKET_STATUSES, MINUTE_MS, partitionOf, toIso } from '@candlewire/contracts';
import { startPostgres } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate } from '@candlewire/store';
import { freePort, spawnService } from '@candlewire/testkit';
import express from 'express';
import { knex } from 'knex';
import { Client } from 'pg';
import { cpuSecondsOf } from './process-cpu';
import { candle } from './store.bench';
import { type BenchTable, median } from './table';

const PAGE = 1_000;
const SYMBOLS = 10;
const MINUTES = 5_000;
const START_MS = Date.UTC(2024, 0, 2, 14, 30);
const REQUESTS = 200;
const WARM_UP_REQUESTS = 20;
const CONCURRENT = 4;
const ROUNDS = 7;
/** Nobody listens there: candles need no Redis. */
const NO_REDIS = 'redis://127.0.0.1:1';

/** A server in a process of its own, and the name under which it is known to Postgres. */
interface Contender {
  readonly origin: string;
  readonly pid: number;
  readonly application: string;
  stop(): Promise<unknown>;
}

/** CPU of one request, user and system. */
interface Cost {
  readonly nodeMs: number;
  readonly postgresMs: number;
}

/**
 * `GET /api/candles/{symbol}?limit=1000` of the gateway against the usual way (express, knex, JSON.stringify) on the same
 * rows: requests per second of CPU. Hot: the newest page again and again; cold: no page twice.
 */
export async function readBench(): Promise<BenchTable> {
  if (process.platform !== 'linux') throw new Error('this benchmark reads CPU times from /proc, which only Linux has');
  const postgres = await startPostgres({ dataDir: null, logger: silentLogger });
  const observer = new Client({ connectionString: postgres.url });
  const contenders: Contender[] = [];
  try {
    await fill(postgres.url);
    await observer.connect();
    await observer.query('vacuum analyze');
    contenders.push(await usualServer(postgres.url), await gateway(postgres.url));
    const [usual, own] = contenders as [Contender, Contender];
    await assertSameAnswer(usual, own);
    const rows = [
      await compare('hot', hotPaths, usual, own, observer),
      await compare('cold', coldPaths, usual, own, observer),
    ];
    return {
      title: `GET candles, ${PAGE.toLocaleString('en-US')} rows: requests per CPU second, median of ${ROUNDS} rounds`,
      columns: ['page', 'express + knex', 'gateway', 'times', 'with Postgres: express + knex', 'gateway', 'times'],
      rows,
      notes: [
        'hot: the newest page each time, which the gateway keeps and checks against the store; cold: another range each time',
        'with Postgres: CPU of the backends that served it is added; bar: at least 2.5 times for Node alone',
      ],
    };
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await observer.end().catch(() => {});
    await postgres.stop();
  }
}

type Paths = () => string;

const hotPaths: Paths = () => `/api/candles/S0?limit=${PAGE}`;
let colder = 0;
const coldPaths: Paths = () => {
  const at = colder++;
  const end = START_MS + (PAGE + (Math.floor(at / SYMBOLS) % (MINUTES - PAGE))) * MINUTE_MS;
  return `/api/candles/S${at % SYMBOLS}?limit=${PAGE}&end=${toIso(end)}`;
};

async function compare(
  page: string,
  paths: Paths,
  usual: Contender,
  own: Contender,
  observer: Client,
): Promise<(string | number)[]> {
  const pairs: (readonly [Cost, Cost])[] = [];
  // The first round warms compiler and server up. The order changes, so that neither always meets what the other left.
  for (let round = 0; round <= ROUNDS; round++) {
    const order = round % 2 === 0 ? [usual, own] : [own, usual];
    const costs = new Map<Contender, Cost>();
    for (const contender of order) costs.set(contender, await costOf(contender, paths, observer));
    if (round > 0) pairs.push([costs.get(usual)!, costs.get(own)!]);
  }
  const figures = (ms: (cost: Cost) => number): number[] => [
    median(pairs.map(([a]) => 1_000 / ms(a))),
    median(pairs.map(([, b]) => 1_000 / ms(b))),
    median(pairs.map(([a, b]) => ms(a) / ms(b))),
  ];
  return [page, ...figures(({ nodeMs }) => nodeMs), ...figures(({ nodeMs, postgresMs }) => nodeMs + postgresMs)];
}

async function costOf({ origin, pid, application }: Contender, paths: Paths, observer: Client): Promise<Cost> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENT });
  const run = async (requests: number): Promise<void> => {
    let left = requests;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await fetchText(origin + paths(), agent);
    };
    await Promise.all(Array.from({ length: CONCURRENT }, worker));
  };
  await run(WARM_UP_REQUESTS);
  const backends = await backendsOf(application, observer);
  const before = [cpuMsOf([pid]), cpuMsOf(backends)] as const;
  await run(REQUESTS);
  const cost = {
    nodeMs: (cpuMsOf([pid]) - before[0]) / REQUESTS,
    postgresMs: (cpuMsOf(backends) - before[1]) / REQUESTS,
  };
  agent.destroy();
  return cost;
}

async function backendsOf(application: string, observer: Client): Promise<number[]> {
  const { rows } = await observer.query<{ pid: number }>(
    'select pid from pg_stat_activity where application_name = $1',
    [application],
  );
  return rows.map(({ pid }) => pid);
}

const cpuMsOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + cpuSecondsOf(pid) * 1_000, 0);

function fetchText(url: string, agent?: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: agent ?? false }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => {
        if (res.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`${url}: ${res.statusCode}`));
      });
    }).on('error', reject);
  });
}

async function assertSameAnswer(...contenders: readonly Contender[]): Promise<void> {
  const path = coldPaths();
  const [a, b] = await Promise.all(
    contenders.map(async ({ origin }) => JSON.parse(await fetchText(origin + path)) as { candles: unknown[] }),
  );
  if (a!.candles.length !== PAGE || !isDeepStrictEqual(a!.candles, b!.candles))
    throw new Error('the two give different candles');
}

async function fill(url: string): Promise<void> {
  await migrate(url);
  const store = connectStore({ url, logger: silentLogger, poolMax: 1 });
  await store.declare({ source: 'simulator', calendar: '24x7', partitions: 1 });
  const [claim] = await store.claim('bench', 3_600_000, 1);
  for (let i = 0; i < SYMBOLS; i++) {
    const changed = Array.from({ length: MINUTES }, (_, n) => candle(i + n, START_MS + n * MINUTE_MS, n + 1, 1));
    const series = [{ interval: '1m' as const, seqBefore: 0, seq: MINUTES, changed, touched: [] }];
    await store.commit(partitionOf(`S${i}`, 1), claim!.fence, { journalId: 'bench', entry: i + 1, clock: START_MS }, [
      { symbol: `S${i}`, series },
    ]);
  }
  await store.close();
}

async function gateway(url: string): Promise<Contender> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const service = spawnService('gateway', {
    PORT: `${port}`,
    DATABASE_URL: url,
    REDIS_URL: NO_REDIS,
    LOG_LEVEL: 'error',
  });
  await service.up(async () => (await fetchText(`${origin}/health`)).length > 0);
  return { origin, pid: service.pid, application: 'candlewire', stop: () => service.stop() };
}

const USUAL = 'usual-server';

async function usualServer(url: string): Promise<Contender> {
  const child = fork(__filename, [url]);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const port = await new Promise<unknown>((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', () => reject(new Error('the server to compare with ended')));
  });
  return {
    origin: `http://127.0.0.1:${port}`,
    pid: child.pid!,
    application: USUAL,
    stop() {
      child.kill();
      return exited;
    },
  };
}

/** What one writes first: rows as objects, mapped to the answer, JSON.stringify. */
function serveTheUsualWay(url: string): void {
  const db = knex({
    client: 'pg',
    connection: { connectionString: url, application_name: USUAL },
    pool: { min: 0, max: 10 },
  });
  const app = express();
  // The gateway makes no hash of its answers either.
  app.disable('etag');
  app.get('/api/candles/:symbol', async (req, res) => {
    const { limit, end } = req.query;
    const query = db('candles')
      .select<Row[]>(COLUMNS)
      .where({ symbol: req.params.symbol, interval: '1m' })
      .orderBy('ts', 'desc')
      .limit(Number(limit));
    const rows = await (typeof end === 'string' ? query.where('ts', '<=', new Date(end)) : query);
    res
      .type('json')
      .send(JSON.stringify({ symbol: req.params.symbol, interval: '1m', candles: rows.reverse().map(wireOf) }));
  });
  const server = app.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
}

const COLUMNS = [
  ...(['ts', 'open', 'high', 'low', 'close', 'volume', 'vwap', 'trade_count', 'market_status'] as const),
  ...(['avg_range', 'rsi', 'ma40', 'ma80', 'ma160', 'final', 'revision', 'seq'] as const),
];
/** As pg gives it: bigint is text. */
type Row = {
  ts: Date;
  volume: string;
  trade_count: string | null;
  seq: string;
  market_status: number;
  final: boolean;
} & Record<
  Exclude<(typeof COLUMNS)[number], 'ts' | 'volume' | 'trade_count' | 'seq' | 'market_status' | 'final'>,
  number
>;

function wireOf(row: Row) {
  return {
    timestamp: toIso(row.ts.getTime()),
    open: row.open,
    high: row.high,
    low: row.low,
    close: row.close,
    volume: Number(row.volume),
    vwap: row.vwap,
    trade_count: row.trade_count === null ? null : Number(row.trade_count),
    market_status: MARKET_STATUSES[row.market_status],
    ATR: row.avg_range,
    RSI: row.rsi,
    MA40: row.ma40,
    MA80: row.ma80,
    MA160: row.ma160,
    final: row.final,
    revision: row.revision,
    seq: Number(row.seq),
  };
}

if (require.main === module) serveTheUsualWay(process.argv[2]!);
