import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createAggregator } from '@candlewire/aggregator';
import { connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { type Bar, channelsOf, encodeEntry, MINUTE_MS, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { startPostgres, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate } from '@candlewire/store';
import { waitFor } from '@candlewire/testkit';
import type { BenchTable } from './table';

const SYMBOLS = 2_000;
const MINUTES = 90;
const LOOKS = [1, 30, 60, MINUTES];
const START_MS = Date.UTC(2025, 5, 2, 13, 30);
const PREFIX = 'bench:memory';

/**
 * What an aggregator holds for each symbol (four series), after collecting garbage, at several times: beyond what it
 * holds before the first bar, and flat.
 */
export async function memoryBench(): Promise<BenchTable> {
  const postgres = await startPostgres({ dataDir: null, logger: silentLogger });
  const redis = await startRedis({ dataDir: null, download: true, logger: silentLogger });
  if ('missing' in redis) throw new Error(redis.missing);
  await migrate(postgres.url);
  const store = connectStore({ url: postgres.url, logger: silentLogger });
  const bus = connectBus({ url: redis.url, prefix: PREFIX, logger: silentLogger });
  const { epoch } = await store.declare({ source: 'replay', calendar: '24x7', partitions: PARTITIONS });
  const rules = { calendar: createCalendar('24x7', 'date,kind,close_time_local,name\n'), graceMs: 35_000 };
  const aggregator = createAggregator({
    store,
    bus,
    channels: channelsOf(PREFIX),
    epoch,
    rules,
    logger: silentLogger,
    owner: 'bench',
  });
  try {
    await waitFor(() => aggregator.held().length === PARTITIONS, {
      what: 'all partitions are held',
      timeoutMs: 20_000,
    });
    let heads = await bus.journal.open(PARTITIONS);
    const base = usedBytes();
    const rows: (string | number)[][] = [];
    for (let minute = 0; minute < MINUTES; minute++) {
      const entries = Array.from({ length: PARTITIONS }, (): Bar[] => []);
      for (let i = 0; i < SYMBOLS; i++) {
        const bar = barOf(i, minute);
        entries[partitionOf(bar.symbol)]!.push(bar);
      }
      const clock = START_MS + (minute + 1) * MINUTE_MS;
      const appended = await bus.journal.append(
        null,
        entries.map((bars, partition) => ({
          partition,
          known: heads[partition]!,
          text: encodeEntry({ clock, bars }),
          bars: bars.length,
        })),
      );
      heads = appended.map(({ head }) => head);
      await waitFor(() => aggregator.counters.bars === (minute + 1) * SYMBOLS, {
        what: 'the minute is stored',
        timeoutMs: 120_000,
      });
      if (!LOOKS.includes(minute + 1)) continue;
      const used = usedBytes();
      rows.push([minute + 1, (used - base) / SYMBOLS / 1024, used / 2 ** 20, process.memoryUsage.rss() / 2 ** 20]);
    }
    return {
      title: `Aggregator memory with ${SYMBOLS.toLocaleString('en-US')} symbols`,
      columns: ['minutes', 'KB per symbol', 'heap and buffers MB', 'RSS MB'],
      rows,
      notes: [
        'KB per symbol: heap and buffers after garbage collection beyond those before the first bar; bar: at most 40, flat',
      ],
    };
  } finally {
    await aggregator.stop();
    await Promise.all([store.close(), bus.close()]);
    await redis.stop();
    await postgres.stop();
  }
}

function barOf(i: number, minute: number): Bar {
  const close = 100 + Math.sin(minute * 12.9898 + i) * 3;
  return {
    symbol: `S${i}`,
    openTime: START_MS + minute * MINUTE_MS,
    open: close,
    high: close + 0.5,
    low: close - 0.5,
    close,
    volume: 100 + minute,
    tradeCount: 7,
    vwap: close + 0.01,
    rev: 0,
  };
}

function usedBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
