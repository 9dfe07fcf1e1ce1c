import { connectBus, type Message } from '@candlewire/bus';
import { type Candle, channelsOf, encodeCandleMessage, MINUTE_MS } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type SymbolChange } from '@candlewire/store';
import { Client } from 'pg';
import { candle } from '../store.bench';

const START_MS = Date.UTC(2024, 0, 2, 14, 30);
const OWNER_MS = 3_600_000;

/** A message, and by which number it can be told again where it arrives. */
export interface Numbered extends Message {
  readonly id: number;
}

/** A store and a Redis prefix of their own, in which candles appear as the aggregator would make them appear. */
export interface Market {
  readonly databaseUrl: string;
  readonly prefix: string;
  /** One commit: `each` new minutes of each of these symbols. @returns what is to be published, in order of the symbols */
  commit(symbols: readonly string[], each?: number): Promise<Numbered[]>;
  publish(messages: readonly Numbered[]): Promise<void>;
  close(): Promise<void>;
}

export async function openMarket(name: string, postgresUrl: string, redisUrl: string): Promise<Market> {
  const databaseUrl = await createDatabase(postgresUrl, name);
  await migrate(databaseUrl);
  const store = connectStore({ url: databaseUrl, logger: silentLogger, poolMax: 2 });
  const prefix = `bench:${name}`;
  const bus = connectBus({ url: redisUrl, prefix, logger: silentLogger });
  const channels = channelsOf(prefix);
  const { epoch } = await store.declare({ source: 'simulator', calendar: '24x7', partitions: 2 });
  const claims = await store.claim('bench', OWNER_MS, 2);
  const seqs = new Map<string, number>();
  let lastId = 0;
  let entry = 0;

  function nextOf(symbol: string, each: number): SymbolChange {
    const seqBefore = seqs.get(symbol) ?? 0;
    const changed: Candle[] = [];
    for (let seq = seqBefore + 1; seq <= seqBefore + each; seq++) {
      changed.push(candle(++lastId, START_MS + seq * MINUTE_MS, seq, 1));
    }
    seqs.set(symbol, seqBefore + each);
    return { symbol, series: [{ interval: '1m', seqBefore, seq: seqBefore + each, changed, touched: [] }] };
  }

  return {
    databaseUrl,
    prefix,
    async commit(symbols, each = 1) {
      const changes = symbols.map((symbol) => nextOf(symbol, each));
      // One partition for what comes in ones, the other for what comes in lots: they are written at the same time.
      const { partition, fence } = claims[each > 1 ? 1 : 0]!;
      const position = { journalId: 'bench', entry: ++entry, clock: START_MS };
      if ((await store.commit(partition, fence, position, changes)) === null) throw new Error('the partition was lost');
      return changes.flatMap(({ symbol, series }) =>
        series[0]!.changed.map((one) => ({
          channel: channels.candles('1m', symbol),
          text: encodeCandleMessage(symbol, '1m', epoch, one),
          id: one.tradeCount!,
        })),
      );
    },
    publish: (messages) => bus.publish(messages),
    async close() {
      await Promise.all([store.close(), bus.close()]);
    },
  };
}

async function createDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new Client({ connectionString: serverUrl });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}
