import type { FillsCounters } from './fill/fills';

/** Since the process began, over all times that it led; a file that is played again counts again. */
export interface Counters {
  /** Bars appended to the journals, history included. */
  readonly bars: number;
  /** Journal entries appended, those with a clock alone included. */
  readonly entries: number;
  /** Appends that were refused because another one leads. */
  readonly fenced: number;
  /** Times that this process took the lead, and those of them that ended though it was not told to stop. */
  readonly terms: number;
  readonly termsLost: number;
  /** Of history; null where the source has none. */
  readonly fills: FillsCounters | null;
  /** What the source refused to take for a bar, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Ticks published. */
  readonly ticks: number;
}
