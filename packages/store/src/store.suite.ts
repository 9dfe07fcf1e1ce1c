import type { SeriesChange } from '@candlewire/candles';
import { type Candle, type Interval, MINUTE_MS } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { type TestDatabase, testDatabase } from '@candlewire/testkit';
import { Client, Pool, type QueryResultRow } from 'pg';
import { connectStore } from './connect-store';
import { migrate } from './migrate';
import type { Store, SymbolChange } from './store';

export const MONDAY = Date.UTC(2025, 10, 3, 14, 30);
export const WIDTH_MS: Record<Interval, number> = {
  '1m': MINUTE_MS,
  '5m': 5 * MINUTE_MS,
  '1h': 60 * MINUTE_MS,
  '1d': 1440 * MINUTE_MS,
};

/** Candle number `seq` of a series, whose values tell which it is; the fifteenth is the first with an RSI. */
export function candle(seq: number, fields: Partial<Candle> = {}): Candle {
  const close = 100 + seq / 7;
  return {
    openTime: MONDAY + (seq - 1) * MINUTE_MS,
    open: close - 0.1,
    high: close + 0.3,
    low: close - 0.3,
    close,
    volume: 1000 + seq,
    vwap: close + 0.01,
    tradeCount: seq,
    status: 'regular',
    rsi: seq < 15 ? null : 50 + 1 / seq,
    avgGain: seq / 11,
    avgLoss: seq / 13,
    avgRange: seq / 17,
    ma40: seq < 40 ? null : close + 0.4,
    ma80: seq < 80 ? null : close + 0.8,
    ma160: seq < 160 ? null : close + 0.16,
    final: true,
    rev: 0,
    revision: 1,
    seq,
    ...fields,
  };
}

/** `count` candles of consecutive intervals, seq from `from`. */
export function candles(count: number, interval: Interval = '1m', from = 1, fields: Partial<Candle> = {}): Candle[] {
  return Array.from({ length: count }, (_, i) => {
    const seq = from + i;
    return candle(seq, { openTime: MONDAY + (seq - 1) * WIDTH_MS[interval], ...fields });
  });
}

/** A change of one series whose numbers continue where `changed` begins. */
export function change(interval: Interval, changed: readonly Candle[], touched: readonly Candle[] = []): SeriesChange {
  const seq = changed.at(-1)?.seq ?? 0;
  return { interval, seqBefore: changed.length > 0 ? changed[0]!.seq - 1 : 0, seq, changed, touched };
}

export function changes(symbol: string, ...series: SeriesChange[]): SymbolChange {
  return { symbol, series };
}

export const at = (entry: number) => ({ journalId: 'journal', entry, clock: MONDAY + entry });

export interface TestStore extends TestDatabase {
  readonly store: Store;
  /** Another process's view of the same database. */
  connect(poolMax?: number): Store;
  sql<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** A client for transactions; closed with the rest. */
  client(): Promise<Client>;
}

/** A store of its own, migrated and declared with 16 partitions. */
export async function testStore(): Promise<TestStore> {
  const database = await testDatabase();
  await migrate(database.url);
  const closing: (() => Promise<void>)[] = [];
  const connect = (poolMax?: number) => {
    const store = connectStore({ url: database.url, logger: silentLogger, poolMax });
    closing.push(() => store.close());
    return store;
  };
  const client = async () => {
    const one = new Client({ connectionString: database.url });
    await one.connect();
    closing.push(() => one.end());
    return one;
  };
  const store = connect();
  await store.declare({ source: 'replay', calendar: 'nyse', partitions: 16 });
  const pool = new Pool({ connectionString: database.url, max: 4 });
  closing.push(() => pool.end());
  return {
    url: database.url,
    store,
    connect,
    client,
    sql: async <Row extends QueryResultRow>(text: string, values: unknown[] = []) =>
      (await pool.query<Row>(text, values)).rows,
    async drop() {
      await Promise.all(closing.map((close) => close()));
      await database.drop();
    },
  };
}
