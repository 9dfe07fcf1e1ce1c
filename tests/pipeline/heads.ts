import { INTERVALS, type Interval } from '@candlewire/contracts';
import type { Store } from '@candlewire/store';

export interface SeriesHead {
  readonly symbol: string;
  readonly interval: Interval;
  readonly seq: number;
}

/** Where every series stands that has candles. */
export async function headsOf(store: Pick<Store, 'symbols' | 'heads'>): Promise<SeriesHead[]> {
  const symbols = await store.symbols();
  const all = symbols.flatMap(({ symbol }) => INTERVALS.map((interval) => ({ symbol, interval })));
  const { seqs } = await store.heads(all);
  return all.map((series, i) => ({ ...series, seq: seqs[i]! })).filter(({ seq }) => seq > 0);
}
