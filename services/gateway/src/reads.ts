import { ApiError } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import { type Store, StoreUnavailable } from '@candlewire/store';
import { Late, within } from './deadline';

/** A read that takes longer is given up: its caller is better off asking again. */
const READ_MS = 5_000;
/** More reads than these do not wait: a store so far behind is not helped by a longer queue. */
const READS_MAX = 500;
/** SQLSTATE of a missing table: until the migrations have run, which passes. */
const UNDEFINED_TABLE = '42P01';

/** What the routes read from the store. */
export type Reads = Pick<Store, 'candles' | 'head' | 'symbols' | 'knowsSymbol'>;

/**
 * The reads of `store`, within a deadline and in bounded number. They fail with ApiError unavailable where the store is
 * away or late; any other error is a bug of ours.
 */
export function boundReads(store: Reads, logger: Logger): Reads {
  const logOutage = boundedLog(logger, 'read failed');
  let reading = 0;

  async function read<T>(act: () => Promise<T>): Promise<T> {
    if (reading >= READS_MAX)
      throw new ApiError('unavailable', 'too many requests are waiting for the store; try again');
    reading++;
    try {
      return await within(READ_MS, act);
    } catch (err) {
      if (!isOutage(err)) throw err;
      logOutage({ err });
      throw new ApiError('unavailable', 'the store cannot be reached; try again');
    } finally {
      reading--;
    }
  }

  return {
    candles: (query) => read(() => store.candles(query)),
    head: (symbol, interval) => read(() => store.head(symbol, interval)),
    symbols: () => read(() => store.symbols()),
    knowsSymbol: (symbol) => read(() => store.knowsSymbol(symbol)),
  };
}

function isOutage(err: unknown): boolean {
  if (err instanceof StoreUnavailable || err instanceof Late) return true;
  return err instanceof Error && 'code' in err && err.code === UNDEFINED_TABLE;
}
