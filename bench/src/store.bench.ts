import { type Candle, INTERVALS, MARKET_STATUSES, MINUTE_MS } from '@candlewire/contracts';
import { startPostgres } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store, type SymbolChange } from '@candlewire/store';
import { type Knex, knex } from 'knex';
import { type BenchTable, median } from './table';

/** A batch is a minute of 250 symbols: four candles of each. */
const SYMBOLS = 250;
const BATCHES = 5;
const ROUNDS = 7;
const START_MS = Date.UTC(2024, 0, 2, 14, 30);
const KEY = ['symbol', 'interval', 'ts'];

interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}
type Work = 'insert' | 'update';
type Contender = Readonly<Record<Work, (round: number) => Promise<void>>>;

/**
 * The store's commits against knex upserts into a table of the same shape, 1,000 candles at a time. One connection each,
 * in turns, on a Postgres that is started for it.
 */
export async function storeBench(): Promise<BenchTable> {
  const postgres = await startPostgres({ dataDir: null, logger: silentLogger });
  const store = connectStore({ url: postgres.url, logger: silentLogger, poolMax: 1 });
  const db = knex({ client: 'pg', connection: postgres.url, pool: { min: 1, max: 1 } });
  try {
    await migrate(postgres.url);
    await db.raw('create table candles_knex (like candles including all)');
    const own = await ownWay(store);
    const other = knexWay(db);
    return {
      title: `Writing 1,000 candles, median of ${ROUNDS} rounds`,
      columns: ['work', 'knex ms', 'own ms', 'times faster', 'knex CPU ms', 'own CPU ms', 'share of CPU'],
      rows: [await compare('insert', other, own), await compare('update', other, own)],
      notes: [
        'knex: insert.onConflict.merge; the store writes series, position and fence as well',
        'CPU: of this process, user and system; the bars are 1.5 times faster and half the CPU',
      ],
    };
  } finally {
    await Promise.all([store.close(), db.destroy()]);
    await postgres.stop();
  }
}

async function compare(work: Work, other: Contender, own: Contender): Promise<(string | number)[]> {
  const pairs: (readonly [Cost, Cost])[] = [];
  // The first round warms compiler and server up. The order changes, so that neither always meets what the other left.
  for (let round = 0; round <= ROUNDS; round++) {
    const run = (contender: Contender) => costOf(() => contender[work](round));
    const pair =
      round % 2 === 0
        ? ([await run(other), await run(own)] as const)
        : ([await run(own), await run(other)].reverse() as [Cost, Cost]);
    if (round > 0) pairs.push(pair);
  }
  const middle = (value: (pair: readonly [Cost, Cost]) => number) => median(pairs.map(value));
  return [
    work,
    middle(([a]) => a.ms),
    middle(([, b]) => b.ms),
    middle(([a, b]) => a.ms / b.ms),
    middle(([a]) => a.cpuMs),
    middle(([, b]) => b.cpuMs),
    middle(([a, b]) => b.cpuMs / a.cpuMs),
  ];
}

async function costOf(act: () => Promise<void>): Promise<Cost> {
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: Number(process.hrtime.bigint() - start) / 1e6 / BATCHES, cpuMs: (user + system) / 1e3 / BATCHES };
}

async function ownWay(store: Store): Promise<Contender> {
  await store.declare({ source: 'simulator', calendar: '24x7', partitions: 1 });
  const [claim] = await store.claim('bench', 3_600_000, 1);
  let entry = 0;
  async function write(round: number, revision: 1 | 2): Promise<void> {
    for (const minute of minutesOf(round)) {
      const position = { journalId: 'bench', entry: ++entry, clock: START_MS };
      await store.commit(claim!.partition, claim!.fence, position, changesOf(minute, revision));
    }
  }
  return { insert: (round) => write(round, 1), update: (round) => write(round, 2) };
}

function knexWay(db: Knex): Contender {
  async function write(round: number, revision: 1 | 2): Promise<void> {
    for (const minute of minutesOf(round)) {
      const rows = changesOf(minute, revision).flatMap(({ symbol, series }) =>
        series.flatMap(({ interval, changed }) => changed.map((c) => ({ symbol, interval, ...rowOf(c) }))),
      );
      await db('candles_knex')
        .insert(rows)
        .onConflict(KEY)
        .merge(Object.keys(rows[0]!).filter((column) => !KEY.includes(column)))
        .where('candles_knex.seq', '<=', db.raw('excluded.seq'));
    }
  }
  return { insert: (round) => write(round, 1), update: (round) => write(round, 2) };
}

/** Numbers of the minutes that a round writes. */
const minutesOf = (round: number) => Array.from({ length: BATCHES }, (_, i) => round * BATCHES + i);

/** One candle of each series; those of revision 2 replace those of revision 1. */
function changesOf(minute: number, revision: 1 | 2): SymbolChange[] {
  const seq = 2 * minute + revision;
  return Array.from({ length: SYMBOLS }, (_, symbol) => ({
    symbol: `S${symbol}`,
    series: INTERVALS.map((interval) => {
      const changed = [candle(symbol + minute * SYMBOLS, START_MS + minute * MINUTE_MS, seq, revision)];
      return { interval, seqBefore: seq - 1, seq, changed, touched: [] };
    }),
  }));
}

/** Prices in cents, indicators with all their digits. */
export function candle(n: number, openTime: number, seq: number, revision: number): Candle {
  const close = (10_000 + ((n * 7_919) % 9_973)) / 100;
  const odd = close / 3;
  return {
    openTime,
    open: close,
    high: close + 0.25,
    low: close - 0.25,
    close,
    volume: 100 + n,
    vwap: close + odd / 1_000,
    tradeCount: n,
    status: 'regular',
    rsi: odd,
    avgGain: odd / 7,
    avgLoss: odd / 11,
    avgRange: odd / 13,
    ma40: close + odd / 17,
    ma80: close + odd / 19,
    ma160: close + odd / 23,
    final: true,
    rev: 0,
    revision,
    seq,
  };
}

/** The columns of a candle beside its series, as one writes them for knex. */
function rowOf(c: Candle) {
  return {
    ts: new Date(c.openTime),
    seq: c.seq,
    open: c.open,
    high: c.high,
    low: c.low,
    close: c.close,
    volume: c.volume,
    vwap: c.vwap,
    trade_count: c.tradeCount,
    market_status: MARKET_STATUSES.indexOf(c.status),
    rsi: c.rsi,
    avg_gain: c.avgGain,
    avg_loss: c.avgLoss,
    avg_range: c.avgRange,
    ma40: c.ma40,
    ma80: c.ma80,
    ma160: c.ma160,
    final: c.final,
    revision: c.revision,
    rev: c.rev,
  };
}
