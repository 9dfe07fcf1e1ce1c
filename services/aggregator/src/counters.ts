import { INTERVALS, type Interval } from '@candlewire/contracts';

/** What an aggregator did since its start. Plain numbers: the metrics read them when they are asked for. */
export interface AggregatorCounters {
  bars: number;
  /** Bars and entries that were none, by reason. */
  refused: Record<string, number>;
  /** Entries given up because they could not be stored, however often tried. */
  poisoned: number;
  commits: number;
  /** Candles that a commit changed, by interval. */
  candles: Record<Interval, number>;
  messages: number;
  /** Ticks taken, of which the newest of each symbol is told. */
  ticks: number;
  /** Partitions that another owner took away. */
  lost: number;
  /** Partitions that were stopped by an error, to be taken over anew. */
  failed: number;
  /** Candles that rebuilds compared, and those of them that had to be corrected. */
  rebuilt: number;
  corrected: number;
  /** Minutes deleted because their day is no longer kept. */
  deleted: number;
}

export function newCounters(): AggregatorCounters {
  return {
    bars: 0,
    refused: {},
    poisoned: 0,
    commits: 0,
    candles: Object.fromEntries(INTERVALS.map((interval) => [interval, 0])) as Record<Interval, number>,
    messages: 0,
    ticks: 0,
    lost: 0,
    failed: 0,
    rebuilt: 0,
    corrected: 0,
    deleted: 0,
  };
}
