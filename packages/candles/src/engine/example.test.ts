import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  atrOf,
  type Bar,
  type Candle,
  type Interval,
  parseInstant,
  type Rev,
  toIso,
  vwapOf,
} from '@candlewire/contracts';
import { createCalendar } from '../index';
import { StoredCandles } from './stored-candles.suite';

const EXAMPLE = resolve(__dirname, '../../../../../shared/candles-example');
const CALENDAR = readFileSync(join(__dirname, '../../nyse-calendar.csv'), 'utf8');
const given = existsSync(join(EXAMPLE, 'bars.csv'));
if (!given) console.warn('skipped: the example set of candles is not there');
const describeExample = given ? describe : describe.skip;

type Row = Record<string, string>;

function rows(file: string): Row[] {
  const [header, ...lines] = readFileSync(join(EXAMPLE, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  return lines.map((fields) => Object.fromEntries(header!.map((name, i) => [name, fields[i]!])));
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

const EXACT = ['ts', 'open', 'high', 'low', 'close', 'volume', 'trade_count', 'market_status'] as const;
const CLOSE = ['vwap', 'ATR', 'RSI', 'MA40', 'MA80', 'MA160'] as const;

function shown(candle: Candle): Row {
  const fields = {
    ts: toIso(candle.openTime),
    open: candle.open,
    high: candle.high,
    low: candle.low,
    close: candle.close,
    volume: candle.volume,
    trade_count: candle.tradeCount,
    vwap: vwapOf(candle),
    market_status: candle.status,
    ATR: atrOf(candle),
    RSI: candle.rsi,
    MA40: candle.ma40,
    MA80: candle.ma80,
    MA160: candle.ma160,
    final: candle.final,
  };
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value === null ? '' : String(value)]));
}

/** Differences between a candle and what is expected of it, within 1e-9 for what is computed in doubles. */
function differences(candle: Candle, expected: Row): string[] {
  const actual = shown(candle);
  const where = `${expected.symbol} ${expected.ts}`;
  const number = (name: string) =>
    Math.abs(Number(actual[name]) - Number(expected[name])) <= 1e-9 * Math.abs(Number(expected[name]));
  return [
    ...EXACT.filter((name) =>
      name === 'ts' || name === 'market_status'
        ? actual[name] !== expected[name]
        : Number(actual[name]) !== Number(expected[name]),
    ),
    ...CLOSE.filter((name) =>
      expected[name] === '' || actual[name] === '' ? actual[name] !== expected[name] : !number(name),
    ),
    ...(expected.final !== undefined && actual.final !== expected.final ? ['final'] : []),
  ].map((name) => `${where} ${name}: ${actual[name]} instead of ${expected[name]}`);
}

describeExample('the example set', () => {
  const deliveries = given
    ? rows('bars.csv').map((row) => ({ arrival: parseInstant(row.arrival!)!, bar: bar(row) }))
    : [];

  it.each([1, 7, 500, 100_000])('gives the expected candles in batches of %i deliveries', (size) => {
    const store = new StoredCandles(createCalendar('nyse', CALENDAR));
    for (let at = 0; at < deliveries.length; at += size) {
      const batch = deliveries.slice(at, at + size);
      store.apply(
        batch.map(({ bar: one }) => one),
        batch.at(-1)!.arrival,
      );
    }
    for (const interval of ['5m', '1h', '1d'] as const) {
      const expected = rows(`expected_${interval}.csv`);
      const symbols = [...new Set(expected.map(({ symbol }) => symbol!))];
      const actual = symbols.flatMap((symbol) => store.candles(symbol, interval).map((candle) => ({ symbol, candle })));
      expect(actual.length).toBe(expected.length);
      expect(actual.flatMap(({ candle }, i) => differences(candle, expected[i]!))).toEqual([]);
    }
  });

  it('gives the expected newest two candles at each checkpoint', () => {
    const store = new StoredCandles(createCalendar('nyse', CALENDAR));
    let at = 0;
    for (const checkpoint of rows('checkpoints.csv')) {
      const asof = parseInstant(checkpoint.asof!)!;
      for (; at < deliveries.length && deliveries[at]!.arrival <= asof; at++)
        store.apply([deliveries[at]!.bar], deliveries[at]!.arrival);
      store.apply([], asof);
      expect(at).toBe(Number(checkpoint.deliveries));
      const newest = store.candles(checkpoint.symbol!, checkpoint.interval as Interval).slice(-2);
      const candle = newest.find(({ openTime }) => openTime === parseInstant(checkpoint.ts!));
      expect(candle).toBeDefined();
      expect(differences(candle!, checkpoint)).toEqual([]);
    }
  });
});
