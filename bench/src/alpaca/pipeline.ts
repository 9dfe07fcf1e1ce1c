import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newYorkDay } from '@candlewire/candles';
import { DAY_MS } from '@candlewire/contracts';
import { startPostgres, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, type Store } from '@candlewire/store';
import { FAKE_KEY, FAKE_SECRET, freePort, spawnService } from '@candlewire/testkit';
import { Client } from 'pg';
import { startChild } from '../child';
import { cpuSecondsOf } from '../process-cpu';
import type { ExchangeCalls } from './exchange';

/** How far a client may be behind before Alpaca cuts it: of what was measured, the least. */
const SLOW_CLIENT_BYTES = 1024 * 1024;
const LIVE_MS_MAX = 60_000;

export interface PipelineOptions {
  /** For Postgres and what else there is to write. */
  readonly folder: string;
  readonly symbols: readonly string[];
  /** The time of the exchange, which stands still; default now. */
  readonly clockMs?: number;
}

/** An exchange in a process of its own, and the real ingestor and aggregator, with Postgres and Redis of their own. */
export interface Pipeline {
  readonly exchange: ExchangeCalls;
  readonly db: Client;
  readonly store: Store;
  /** Of the ingestor and the aggregator since they were started. */
  cpuS(): { ingestor: number; aggregator: number };
  /** @returns its port */
  startGateway(): Promise<number>;
  stop(): Promise<void>;
}

/** Resolves when the stream is live, with all the symbols. */
export async function startPipeline({ folder, symbols, clockMs = Date.now() }: PipelineOptions): Promise<Pipeline> {
  mkdirSync(folder, { recursive: true });
  // Data that is kept, so that commits are as careful as in earnest.
  const postgres = await startPostgres({ dataDir: join(folder, 'data'), logger: silentLogger });
  const redis = await startRedis({ dataDir: null, download: true, logger: silentLogger });
  if ('missing' in redis) throw new Error(redis.missing);
  const child = startChild(join(__dirname, 'exchange.js'));
  const exchange: ExchangeCalls = {
    start: (order) => child.call('start', order),
    standing: () => child.call('standing'),
    trickle: (order) => child.call('trickle', order),
    burstAtOnce: (order) => child.call('burstAtOnce', order),
    burstInASecond: (order) => child.call('burstInASecond', order),
  };
  const { dataUrl, streamUrl } = await exchange.start({ symbols, clockMs, slowClientBytes: SLOW_CLIENT_BYTES });
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    LOG_LEVEL: 'info',
    CALENDAR_FILE: holidayNow(folder),
  };
  const aggregator = spawnService('aggregator', env);
  const ingestor = spawnService('ingestor', {
    ...env,
    SOURCE: 'alpaca',
    ALPACA_API_KEY: FAKE_KEY,
    ALPACA_SECRET: FAKE_SECRET,
    ALPACA_DATA_URL: dataUrl,
    ALPACA_STREAM_URL: streamUrl,
    ALPACA_MAX_SYMBOLS: `${symbols.length}`,
    ALPACA_TRADES: 'off',
    SYMBOLS: symbols.join(),
    HISTORY_DAYS: '0',
    HISTORY_MAX_PER_MIN: '100000',
  });
  const db = new Client(postgres.url);
  const store = connectStore({ url: postgres.url, logger: silentLogger, poolMax: 2 });
  const services = [ingestor, aggregator];

  const stop = async (): Promise<void> => {
    await Promise.all([db.end(), store.close()]);
    await Promise.all(services.map((service) => service.stop()));
    await child.stop();
    await redis.stop();
    await postgres.stop();
  };

  try {
    await ingestor.up(
      async ({ stderr }) => /stream is live/.test(stderr) && (await exchange.standing()).symbols === symbols.length,
      LIVE_MS_MAX,
    );
    await db.connect();
  } catch (err) {
    await stop();
    throw err;
  }
  return {
    exchange,
    db,
    store,
    cpuS: () => ({ ingestor: cpuSecondsOf(ingestor.pid), aggregator: cpuSecondsOf(aggregator.pid) }),
    async startGateway() {
      const port = await freePort();
      const gateway = spawnService('gateway', { ...env, LOG_LEVEL: 'error', PORT: `${port}` });
      services.unshift(gateway);
      await gateway.up(async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok);
      return port;
    },
    stop,
  };
}

/** A calendar in which the exchange rests these days: what is measured must not depend on the day and hour of measuring. */
function holidayNow(folder: string): string {
  const file = join(folder, 'calendar.csv');
  const table = readFileSync(require.resolve('@candlewire/candles/nyse-calendar.csv'), 'utf8').trimEnd();
  const days = [-1, 0, 1].map((age) => newYorkDay(Date.now() + age * DAY_MS));
  const lines = table.split('\n').filter((line) => !days.some((day) => line.startsWith(day)));
  writeFileSync(file, `${[...lines, ...days.map((day) => `${day},holiday,,`)].join('\n')}\n`);
  return file;
}
