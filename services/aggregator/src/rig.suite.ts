import { type Bus, createInProcessBus, type JournalHead } from '@candlewire/bus';
import { type Bar, channelsOf, encodeEntry, PARTITIONS, partitionOf, type RebuildOrder } from '@candlewire/contracts';
import { loadCalendar, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type RebuildReport, type Store } from '@candlewire/store';
import { testDatabase, waitFor } from '@candlewire/testkit';
import { Pool, type QueryResultRow } from 'pg';
import { type Aggregator, type AggregatorDeps, createAggregator } from './aggregator';

/** Aggregators on a database of their own and an in-process bus, and an appender to their journals. */
export interface Rig {
  readonly store: Store;
  readonly bus: Bus;
  sql<Row extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  start(owner: string, over?: Partial<Store>, options?: Partial<AggregatorDeps>): Promise<Aggregator>;
  /** Finishes as a shutdown does. */
  stop(aggregator: Aggregator): Promise<void>;
  append(symbol: string, clock: number | null, bars: readonly Bar[], rebuild?: RebuildOrder): Promise<void>;
  /** Waits until everything that was appended to the symbol's journal is stored and read. */
  consumed(symbol: string): Promise<void>;
  /** Has a rebuild ordered, as a gateway and an ingestor do. */
  order(id: string, symbols: readonly string[], from?: number | null): Promise<void>;
  /** Waits for a rebuild's end. */
  rebuilt(id: string): Promise<RebuildReport>;
  /** All columns of all candles but seq and revision, a line each, in order of the key. */
  candles(where?: string): Promise<string[]>;
  close(): Promise<void>;
}

const PATIENCE_MS = 30_000;

export async function createRig(): Promise<Rig> {
  const database = await testDatabase();
  await migrate(database.url);
  const store = connectStore({ url: database.url, logger: silentLogger });
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const pool = new Pool({ connectionString: database.url, max: 2 });
  const { epoch } = await store.declare({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
  const heads: JournalHead[] = [...(await bus.journal.open(PARTITIONS))];
  const running = new Set<Aggregator>();

  const sql: Rig['sql'] = async <Row extends QueryResultRow>(text: string, values: readonly unknown[] = []) =>
    (await pool.query<Row>(text, [...values])).rows;

  const append: Rig['append'] = async (symbol, clock, bars, rebuild) => {
    const partition = partitionOf(symbol);
    const text = encodeEntry({ clock, bars, ...(rebuild && { rebuild }) });
    const [appended] = await bus.journal.append(null, [
      { partition, known: heads[partition]!, text, bars: bars.length },
    ]);
    heads[partition] = appended!.head;
  };

  const stop: Rig['stop'] = async (aggregator) => {
    running.delete(aggregator);
    await aggregator.stop();
  };

  return {
    store,
    bus,
    sql,
    append,
    stop,

    async start(owner, over = {}, options = {}) {
      const aggregator = createAggregator({
        store: { ...store, ...over },
        bus,
        channels: channelsOf('test'),
        epoch,
        rules: { calendar: loadCalendar('nyse'), graceMs: 35_000 },
        logger: silentLogger,
        owner,
        beatMs: 50,
        leaseMs: 2_000,
        ...options,
      });
      running.add(aggregator);
      return aggregator;
    },

    async consumed(symbol) {
      const { last } = heads[partitionOf(symbol)]!;
      // A minute of its own makes a commit, which stores the position.
      const mark = { open: 1, high: 1, low: 1, close: last, volume: 1, vwap: null, tradeCount: null } as const;
      const marker = markerOf(partitionOf(symbol));
      const bar: Bar = { ...mark, high: last, symbol: marker, openTime: Date.UTC(2030, 0, 1), rev: 4 };
      await append(symbol, null, [bar]);
      const what = `entry ${last + 1} is stored`;
      await waitFor(async () => (await store.consumed(partitionOf(symbol))).last > last, {
        timeoutMs: PATIENCE_MS,
        what,
      });
    },

    async order(id, symbols, from = null) {
      await store.requestRebuild(id, symbols, from);
      for (const { order } of await store.relayRebuilds()) await append(order.symbols[0]!, null, [], order);
    },

    async rebuilt(id) {
      const done = async () => {
        const report = await store.rebuild(id);
        return (
          report && report.parts.length === report.symbols.length && report.parts.every((part) => part.done) && report
        );
      };
      return (await waitFor(done, { timeoutMs: PATIENCE_MS, what: `rebuild ${id} is done` })) as RebuildReport;
    },

    async candles(where = 'true') {
      const rows = await sql<{ line: string }>(`
        select (to_jsonb(c) - '{seq,revision}'::text[])::text as line from candles c
        where symbol not like 'ZZMARK%' and ${where} order by symbol, interval, ts`);
      return rows.map(({ line }) => line);
    },

    async close() {
      await Promise.all([...running].map(stop));
      await Promise.all([store.close(), bus.close(), pool.end()]);
      await database.drop();
    },
  };
}

/** A symbol of the partition that no test uses otherwise. */
function markerOf(partition: number): string {
  for (let n = 0; ; n++) if (partitionOf(`ZZMARK${n}`) === partition) return `ZZMARK${n}`;
}
