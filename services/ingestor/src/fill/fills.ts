import type { MarketCalendar } from '@candlewire/candles';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { Store, StoredHistory } from '@candlewire/store';
import type { JournalWriter } from '../journal-writer';
import type { Source } from '../sources/source';
import type { Time } from '../time';
import { type FillQueue, openFillQueue } from './fill-queue';
import { fillRange } from './fill-range';
import { planFills } from './plan';

export interface FillsOptions {
  readonly history: NonNullable<Source['history']>;
  readonly writer: Pick<JournalWriter, 'appendHistory' | 'journalOf'>;
  readonly store: Pick<Store, 'activeSymbols' | 'historyOf' | 'historyBegins' | 'consumed'>;
  /** DATABASE_URL */
  readonly databaseUrl: string;
  readonly calendar: MarketCalendar;
  readonly historyDays: number;
  readonly marginMs: number;
  readonly time: Time;
  readonly logger: Logger;
}

export interface FillsCounters {
  /** Bars of history appended to the journals. */
  readonly bars: number;
  /** Ranges that were filled, up to their commit. */
  readonly ranges: number;
  /** Attempts that failed. */
  readonly failures: number;
}

/**
 * Fetches what the store lacks: the first days of a symbol, and what was missed while no live bars flowed.
 *
 * The order matters. What is missing is surveyed before live bars can hide it (a hole lies before the last stored
 * minute), and planned once they flow, so that nothing lies between the two. Nothing gives up but for the signal.
 */
export interface Fills {
  /** What is stored of the active symbols, or of some of them. */
  survey(only: readonly string[] | undefined, signal: AbortSignal): Promise<readonly StoredHistory[]>;
  /** Has what is missing by now fetched, whichever process does it. */
  plan(stored: readonly StoredHistory[], signal: AbortSignal): Promise<void>;
  /** Does this process's share of the work, until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  counters(): FillsCounters;
}

export function createFills(options: FillsOptions): Fills {
  const { history, writer, store, databaseUrl, calendar, historyDays, marginMs, time, logger } = options;
  const logWaiting = boundedLog(logger, 'history waits for the store', { first: 1 });
  let bars = 0;
  const deps = {
    history,
    writer,
    store,
    onBars: (count: number) => {
      bars += count;
    },
  };
  let opened: (queue: FillQueue) => void;
  /** Never settles where the signal comes first: whoever waits for it looks at the signal, too. */
  const queue = new Promise<FillQueue>((resolve) => {
    opened = resolve;
  });
  let counters = { ranges: 0, failures: 0 } as FillQueue['counters'];

  const persist = <T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> =>
    retry(act, { signal, onFailure: (err, attempt) => logWaiting({ err, attempt }) });

  return {
    counters: () => ({ bars, ...counters }),
    survey: (only, signal) => persist(() => store.historyOf(only), signal),

    async plan(stored, signal) {
      const { ranges, begins } = planFills(stored, time.now(), { calendar, historyDays, marginMs });
      if (ranges.length > 0) {
        const ready = await Promise.race([queue, aborted(signal)]);
        if (ready === null) return;
        await persist(() => ready.add(ranges), signal);
      }
      // Only now: whoever dies before it plans the same once more.
      if (begins.symbols.length > 0) await persist(() => store.historyBegins(begins.symbols, begins.from), signal);
      logger.info('history planned', { symbols: stored.length, first: begins.symbols.length, ranges: ranges.length });
    },

    async run(signal) {
      const work: Parameters<typeof openFillQueue>[0]['work'] = async (range, progress, save, stopping) => {
        try {
          // Nobody wants it any more; who registers the symbol again has it planned again.
          if (!(await store.activeSymbols()).includes(range.symbol)) return 'stored';
          return await fillRange(range, progress, save, deps, stopping);
        } catch (err) {
          // Whatever was tried when the signal came was given up for it.
          if (stopping.aborted) return 'interrupted';
          throw err;
        }
      };
      const running = await persist(() => openFillQueue({ url: databaseUrl, logger, work }), signal);
      counters = running.counters;
      opened(running);
      await aborted(signal);
      await running.close();
    },
  };
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
    return undefined;
  });
}
