import { invalid } from './errors.ts';
import type { Interval } from './types.ts';

const SYMBOL = /^[A-Za-z][A-Za-z0-9.]{0,14}$/;
const INTERVALS: readonly string[] = ['1m', '5m', '1h', '1d'] satisfies readonly Interval[];

/** Rows that the server gives at once. */
export const ROWS_MAX = 1_000;

/** The symbol in upper case. A bad one is refused here, since the server would refuse all that are asked for with it. */
export function symbolOf(value: string): string {
  if (!SYMBOL.test(value)) throw invalid('symbol: must be a letter followed by at most 14 letters, digits or dots');
  return value.toUpperCase();
}

/** One or several, each once. */
export function listOf<T>(values: T | readonly T[], parse: (value: T) => T, name: string): readonly T[] {
  const list = [...new Set((Array.isArray(values) ? (values as readonly T[]) : [values as T]).map(parse))];
  if (list.length === 0) throw invalid(`${name}: must name at least one`);
  return list;
}

export function intervalOf(value: Interval): Interval {
  if (!INTERVALS.includes(value)) throw invalid(`interval: must be one of ${INTERVALS.join(', ')}`);
  return value;
}

export function historyOf(rows: number): number {
  if (!Number.isInteger(rows) || rows < 0 || rows > ROWS_MAX)
    throw invalid(`history: must be a whole number from 0 to ${ROWS_MAX}`);
  return rows;
}
