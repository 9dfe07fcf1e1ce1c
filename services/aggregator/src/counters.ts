/** What an aggregator did since its start. */
export interface AggregatorCounters {
  bars: number;
  /** Bars and entries that were none, by reason. */
  refused: Record<string, number>;
  /** Entries given up because they could not be stored, however often tried. */
  poisoned: number;
  commits: number;
  candles: number;
  messages: number;
}

export function newCounters(): AggregatorCounters {
  return { bars: 0, refused: {}, poisoned: 0, commits: 0, candles: 0, messages: 0 };
}
