import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Append } from '@candlewire/bus';
import {
  type Bar,
  encodeEntry,
  type Interval,
  PARTITIONS,
  parseInstant,
  partitionOf,
  type Rev,
  type WireCandle,
} from '@candlewire/contracts';
import { describeWithRedis } from '@candlewire/testkit';
import { createPipeline, type Pipeline } from './harness';
import { pagesBack, pagesForward } from './pages';

const EXAMPLE = resolve(__dirname, '../../../shared/candles-example');
const given = existsSync(join(EXAMPLE, 'bars.csv'));
const TEST_MS = 120_000;
const PAGE_ROWS = 300;

type Row = Readonly<Record<string, string>>;

/** Compared as they are written, and those that are computed in doubles within 1e-9. */
const EXACT = ['open', 'high', 'low', 'close', 'volume', 'trade_count', 'market_status'] as const;
const COMPUTED = ['vwap', 'ATR', 'RSI', 'MA40', 'MA80', 'MA160'] as const;
const TOLERANCE = 1e-9;

function rows(file: string): Row[] {
  const [header, ...lines] = readFileSync(join(EXAMPLE, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  return lines.map((fields) => Object.fromEntries(header!.map((name, i) => [name, fields[i]!])));
}

function differences(actual: WireCandle | undefined, expected: Row): string[] {
  const where = `${expected.asof ?? ''} ${expected.symbol} ${expected.ts}`;
  if (actual === undefined) return [`${where}: missing`];
  const wrong: string[] = [];
  const shown = (value: unknown) => (value === null ? '' : String(value));
  const compare = (name: keyof WireCandle & string, equal: boolean) => {
    if (!equal) wrong.push(`${where} ${name}: ${actual[name]} instead of ${expected[name]}`);
  };
  for (const name of EXACT) {
    const text = expected[name]!;
    const isNumber = typeof actual[name] === 'number' && text !== '';
    compare(name, isNumber ? actual[name] === Number(text) : shown(actual[name]) === text);
  }
  for (const name of COMPUTED) {
    const value = actual[name];
    const text = expected[name]!;
    const off = value === null || text === '' ? null : Math.abs(value - Number(text)) / Math.abs(Number(text) || 1);
    compare(name, off === null ? shown(value) === text : off <= TOLERANCE);
  }
  if (expected.final !== undefined) compare('final', String(actual.final) === expected.final);
  return wrong;
}

const bar = (row: Row): Bar => ({
  symbol: row.symbol!,
  openTime: parseInstant(row.ts!)!,
  open: Number(row.open),
  high: Number(row.high),
  low: Number(row.low),
  close: Number(row.close),
  volume: Number(row.volume),
  tradeCount: Number(row.trade_count),
  vwap: Number(row.vwap),
  rev: Number(row.rev) as Rev,
});

describeWithRedis('the example set through the pipeline', () => {
  if (!given) {
    it.skip('gives the expected candles (skipped: the example set is not there)', () => {});
    return;
  }
  let pipeline: Pipeline;

  beforeEach(async () => {
    pipeline = await createPipeline();
  });

  afterEach(() => pipeline.close());

  it(
    'gives the expected candles over HTTP, all of them final',
    async () => {
      pipeline.spawn('aggregator');
      const gateway = await pipeline.gateway();
      const deliveries = rows('bars.csv').length;
      await pipeline.played(pipeline.replay(join(EXAMPLE, 'bars.csv')), deliveries);
      await pipeline.consumed();
      for (const interval of ['5m', '1h', '1d'] as const) {
        const expected = rows(`expected_${interval}.csv`);
        for (const symbol of new Set(expected.map((row) => row.symbol!))) {
          const ofSymbol = expected.filter((row) => row.symbol === symbol);
          const actual = await pagesForward(gateway, symbol, interval, PAGE_ROWS);
          expect(actual.map(({ timestamp }) => timestamp)).toEqual(ofSymbol.map(({ ts }) => ts));
          expect(actual.flatMap((candle, i) => differences(candle, ofSymbol[i]!))).toEqual([]);
          expect(actual.filter(({ final }) => !final)).toEqual([]);
          expect(await pagesBack(gateway, symbol, interval, PAGE_ROWS)).toEqual(actual);
        }
      }
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'gives the expected newest two candles at each checkpoint',
    async () => {
      const { bus, store } = pipeline;
      await store.declare({ source: 'replay', calendar: 'nyse', partitions: PARTITIONS });
      const heads = await bus.journal.open(PARTITIONS);
      pipeline.spawn('aggregator');
      const gateway = await pipeline.gateway();
      const deliveries = rows('bars.csv').map((row) => ({ arrival: parseInstant(row.arrival!)!, bar: bar(row) }));
      const checkpoints = rows('checkpoints.csv');
      const symbols = [...new Set(deliveries.map((delivery) => delivery.bar.symbol))];
      const partitions = [...new Set(symbols.map((symbol) => partitionOf(symbol)))];
      let delivered = 0;
      for (const asof of new Set(checkpoints.map((row) => row.asof!))) {
        const clock = parseInstant(asof)!;
        const due = deliveries.slice(delivered).filter(({ arrival }) => arrival <= clock);
        delivered += due.length;
        const append = (partition: number, text: string, bars: number): Append => {
          return { partition, known: heads[partition]!, text, bars };
        };
        await bus.journal.append(null, [
          ...due.map(({ arrival, bar: one }) =>
            append(partitionOf(one.symbol), encodeEntry({ clock: arrival, bars: [one] }), 1),
          ),
          ...partitions.map((partition) => append(partition, encodeEntry({ clock, bars: [] }), 0)),
        ]);
        await pipeline.consumed();
        const expected = checkpoints.filter((row) => row.asof === asof);
        expect(expected.map((row) => Number(row.deliveries))).toEqual(expected.map(() => delivered));
        const wrong: string[] = [];
        for (const symbol of symbols) {
          for (const interval of ['5m', '1h', '1d'] as const satisfies Interval[]) {
            const newest = await newestTwo(gateway, symbol, interval);
            const ofSeries = expected.filter((row) => row.symbol === symbol && row.interval === interval);
            expect(newest.map(({ timestamp }) => timestamp)).toEqual(ofSeries.map(({ ts }) => ts));
            wrong.push(...newest.flatMap((candle, i) => differences(candle, ofSeries[i]!)));
          }
        }
        expect(wrong).toEqual([]);
      }
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});

async function newestTwo(gateway: string, symbol: string, interval: Interval): Promise<WireCandle[]> {
  const response = await fetch(`${gateway}/api/candles/${symbol}?interval=${interval}&limit=2`);
  if (response.status === 404) return [];
  return ((await response.json()) as { candles: WireCandle[] }).candles;
}
