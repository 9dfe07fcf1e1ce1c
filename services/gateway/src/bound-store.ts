import { ApiError } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import { type Store, StoreUnavailable } from '@candlewire/store';
import { Late, within } from './deadline';

/** A call that takes longer is given up: its caller is better off asking again, and no call is harmed by being made twice. */
const CALL_MS = 5_000;
/** More calls than these do not wait: a store so far behind is not helped by a longer queue. */
const CALLS_MAX = 500;
/** SQLSTATE of a missing table: until the migrations have run, which passes. */
const UNDEFINED_TABLE = '42P01';

/** What the gateway reads from the store. */
export type Reads = Pick<
  Store,
  | 'candles'
  | 'changes'
  | 'head'
  | 'heads'
  | 'latest'
  | 'symbols'
  | 'knowsSymbol'
  | 'rebuild'
  | 'historyOf'
  | 'minutes'
  | 'sourceFacts'
  | 'backfill'
  | 'keptFrom'
>;
/** What callers of the gateway may change. */
export type Writes = Pick<Store, 'register' | 'deactivate' | 'requestRebuild' | 'requestBackfill'>;

/**
 * The calls of `store`, within a deadline and in bounded number. They fail with ApiError unavailable where the store is
 * away or late; any other error is a bug of ours.
 */
export function boundStore(store: Reads & Writes, logger: Logger): Reads & Writes {
  const logOutage = boundedLog(logger, 'store call failed');
  let calling = 0;

  async function call<T>(act: () => Promise<T>): Promise<T> {
    if (calling >= CALLS_MAX)
      throw new ApiError('unavailable', 'too many requests are waiting for the store; try again');
    calling++;
    try {
      return await within(CALL_MS, act);
    } catch (err) {
      if (!isOutage(err)) throw err;
      logOutage({ err });
      throw new ApiError('unavailable', 'the store cannot be reached; try again');
    } finally {
      calling--;
    }
  }

  return {
    candles: (query) => call(() => store.candles(query)),
    changes: (query) => call(() => store.changes(query)),
    head: (symbol, interval) => call(() => store.head(symbol, interval)),
    heads: (wanted) => call(() => store.heads(wanted)),
    latest: (symbols) => call(() => store.latest(symbols)),
    symbols: (only) => call(() => store.symbols(only)),
    knowsSymbol: (symbol) => call(() => store.knowsSymbol(symbol)),
    register: (wanted) => call(() => store.register(wanted)),
    deactivate: (symbol) => call(() => store.deactivate(symbol)),
    historyOf: (only) => call(() => store.historyOf(only)),
    minutes: (symbol, within, limit) => call(() => store.minutes(symbol, within, limit)),
    sourceFacts: () => call(() => store.sourceFacts()),
    keptFrom: (symbols) => call(() => store.keptFrom(symbols)),
    backfill: (id) => call(() => store.backfill(id)),
    requestBackfill: (wanted, symbols, span) => call(() => store.requestBackfill(wanted, symbols, span)),
    rebuild: (id) => call(() => store.rebuild(id)),
    requestRebuild: (id, symbols, from) => call(() => store.requestRebuild(id, symbols, from)),
  };
}

/**
 * Makes a call of a bounded store again and again, until the store is there: for whoever stays connected. Resolves with null
 * where `signal` is aborted first; what is no outage is thrown.
 */
export async function onceAnswered<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T | null> {
  const onFailure = (err: unknown): void => {
    if (!(err instanceof ApiError)) throw err;
  };
  try {
    const result = await retry(act, { signal, onFailure });
    return signal.aborted ? null : result;
  } catch (err) {
    if (signal.aborted) return null;
    throw err;
  }
}

function isOutage(err: unknown): boolean {
  if (err instanceof StoreUnavailable || err instanceof Late) return true;
  return err instanceof Error && 'code' in err && err.code === UNDEFINED_TABLE;
}
