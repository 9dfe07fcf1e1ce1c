import type { Candle, Interval, SeriesCandle, SeriesEvent } from './types.ts';

interface Rows {
  epoch: string;
  readonly byTimestamp: Map<string, Candle>;
}

/**
 * Folds candles into what they come to: the newest state of each (symbol, interval, timestamp), whatever order they come
 * in and however often. The greatest `seq` wins; another `epoch` begins its series anew.
 */
export class CandleTable {
  private readonly series = new Map<string, Rows>();

  /** Takes a candle; true where it is news. */
  add(row: SeriesCandle): boolean {
    const { symbol, interval, epoch, ...candle } = row;
    return put(this.rowsOf(symbol, interval, epoch), candle);
  }

  /** Takes an event of `follow`: a snapshot replaces its series, a reset empties it. */
  apply(event: SeriesEvent): void {
    if (event.type === 'skipped') return;
    const { symbol, interval, epoch } = event;
    if (event.type !== 'candle') this.clear(symbol, interval);
    const rows = this.rowsOf(symbol, interval, epoch);
    if (event.type === 'snapshot') for (const candle of event.candles) put(rows, candle);
    if (event.type === 'candle') put(rows, event.candle);
  }

  /** One candle, by its `timestamp`. */
  get(symbol: string, interval: Interval, timestamp: string): Candle | undefined {
    return this.series.get(`${symbol} ${interval}`)?.byTimestamp.get(timestamp);
  }

  /** The candles of a series, ascending by `timestamp`. */
  candles(symbol: string, interval: Interval): readonly Candle[] {
    const rows = this.series.get(`${symbol} ${interval}`)?.byTimestamp.values() ?? [];
    return [...rows].sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  }

  /** Forgets a series. */
  clear(symbol: string, interval: Interval): void {
    this.series.delete(`${symbol} ${interval}`);
  }

  /** How many candles there are, of all series. */
  get size(): number {
    let size = 0;
    for (const { byTimestamp } of this.series.values()) size += byTimestamp.size;
    return size;
  }

  private rowsOf(symbol: string, interval: Interval, epoch: string): Rows {
    const key = `${symbol} ${interval}`;
    let rows = this.series.get(key);
    if (rows?.epoch !== epoch) this.series.set(key, (rows = { epoch, byTimestamp: new Map() }));
    return rows;
  }
}

function put({ byTimestamp }: Rows, candle: Candle): boolean {
  const known = byTimestamp.get(candle.timestamp);
  if (known && known.seq >= candle.seq) return false;
  byTimestamp.set(candle.timestamp, candle);
  return true;
}

/** A {@link CandleTable} of `events` (of `follow`) or of candles (of the iterators). */
export function foldCandles(events: Iterable<SeriesEvent | SeriesCandle>): CandleTable {
  const table = new CandleTable();
  for (const event of events) {
    if ('type' in event) table.apply(event);
    else table.add(event);
  }
  return table;
}
