import { type Bar, type Candle, INTERVALS, MINUTE_MS } from '@candlewire/contracts';
import type { AlpacaMarket } from '@candlewire/testkit';
import { StoredCandles } from '../../packages/candles/src/engine/stored-candles.suite';
import type { Pipeline } from '../pipeline/harness';

const SHOWN = 5;
const ALL = 1_000_000;

/** What the store should hold: minutes of the market's history from <= openTime < to, and what the engine makes of them. */
export interface Truth {
  readonly market: AlpacaMarket;
  readonly symbols: readonly string[];
  readonly from: number;
  readonly to: number;
  /** Of the market: what history says by then. Infinity: settled. */
  readonly asOfMs: number;
}

/** A candle without its numbering, and without the way in which its bar was delivered; its first word is its begin. */
type Line = string;

/**
 * The first candles that differ from what the engine makes of the market's minutes, of all intervals; '' where none does. Counted are
 * candles that have ended by `to`, and all of these have to be final.
 */
export async function differenceFrom(pipeline: Pipeline, truth: Truth): Promise<string> {
  const { market, symbols, from, to, asOfMs } = truth;
  const engine = new StoredCandles(market.calendar, 0);
  const differences: string[] = [];
  for (const symbol of symbols) {
    engine.apply(market.history(symbol, from, to, asOfMs), to);
    for (const interval of INTERVALS) {
      const hasEnded = ({ openTime }: Candle) => market.calendar.closeTimeOf(interval, openTime) <= to;
      const query = { kind: 'candles', symbol, interval, from: 0, to, limit: ALL } as const;
      const [stored] = (await pipeline.store.answer([query])) as [Candle[]];
      const wanted = engine.candles(symbol, interval).filter(hasEnded).map(lineOf);
      differences.push(...differing(`${symbol} ${interval}`, stored.filter(hasEnded).map(lineOf), wanted));
    }
  }
  return differences.join('\n');
}

function differing(key: string, stored: readonly Line[], wanted: readonly Line[]): string[] {
  if (stored.join() === wanted.join()) return [];
  const has = new Map(stored.map((line) => [beginOf(line), line]));
  const wants = new Map(wanted.map((line) => [beginOf(line), line]));
  const wrong = [...new Set([...has.keys(), ...wants.keys()])].filter((begin) => has.get(begin) !== wants.get(begin));
  return [
    `${key}: ${wrong.length} differ, of ${wanted.length}`,
    ...wrong.slice(0, SHOWN).map((begin) => `  has   ${has.get(begin)}\n  wants ${wants.get(begin)}`),
  ];
}

const beginOf = (line: Line) => line.slice(0, line.indexOf(' '));

function lineOf({ seq: _seq, revision: _revision, rev: _rev, openTime, ...rest }: Candle): Line {
  const fields = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${new Date(openTime).toISOString()} ${JSON.stringify(Object.fromEntries(fields))}`;
}

/**
 * The first minutes that are none of those that they may be, or are not there (or should not be, where null is allowed), or are not
 * final yet.
 */
export async function wrongMinutes(
  pipeline: Pipeline,
  { symbols, from, to }: Pick<Truth, 'symbols' | 'from' | 'to'>,
  allowed: (symbol: string, openTime: number) => readonly (Bar | null)[],
): Promise<string[]> {
  const wrong: string[] = [];
  for (const symbol of symbols) {
    const [candles] = await pipeline.store.answer([{ kind: 'candles', symbol, interval: '1m', from, to, limit: ALL }]);
    const stored = new Map((candles as Candle[]).map((candle) => [candle.openTime, candle]));
    for (let openTime = from; openTime < to && wrong.length < SHOWN; openTime += MINUTE_MS) {
      const has = stored.get(openTime);
      const may = allowed(symbol, openTime).map((bar) => (bar === null ? 'nothing' : barLine(bar)));
      const is = has === undefined ? 'nothing' : `${barLine(has)}${has.final ? '' : ' (not final)'}`;
      if (!may.includes(is))
        wrong.push(`${symbol} ${new Date(openTime).toISOString()} is ${is}, not ${may.join(' or ')}`);
    }
  }
  return wrong;
}

const barLine = ({ open, high, low, close, volume, vwap, tradeCount }: Bar | Candle) =>
  [open, high, low, close, volume, vwap, tradeCount].join(' ');
