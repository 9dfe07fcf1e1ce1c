import { boundedLog, type Logger, pause } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { AggregatorCounters } from './counters';
import { Wake } from './wake';

/** Minutes of one statement: some 10 ms of Postgres, no lock that anybody waits for. */
const BATCH_MINUTES = 1_000;
/** After a batch, so that deleting a year takes a share of Postgres and not all of it. */
const PAUSE_MS = 100;
const FAILED_PAUSE_MS = 5_000;
/** Nothing happens unless it is rung; a timer keeps nobody waiting for ever. */
const LOOK_MS = 60_000;

export interface RetentionDeps {
  readonly store: Pick<Store, 'minuteSymbols' | 'deleteMinutes'>;
  readonly logger: Logger;
  readonly counters: AggregatorCounters;
  /** Partitions that are held now, with their fences. */
  readonly held: () => ReadonlyMap<number, number>;
}

/** Deletes minutes that lie behind the horizons of the partitions held, a batch at a time, beside everything else. */
export interface Retention {
  /** The partition was taken over with a horizon, or it was moved: there may be something to delete. */
  moved(partition: number): void;
  /** Until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

export function createRetention({ store, logger, counters, held }: RetentionDeps): Retention {
  const due = new Set<number>();
  const wake = new Wake();
  const logFailure = boundedLog(logger, 'old minutes not deleted, to be tried again', { first: 1 });

  /** Leaves off where somebody else has the partition by now, who deletes the rest, or the signal came. */
  async function clear(partition: number, signal: AbortSignal): Promise<void> {
    for (const symbol of await store.minuteSymbols(partition)) {
      for (let deleted = BATCH_MINUTES; deleted === BATCH_MINUTES; ) {
        const fence = held().get(partition);
        if (fence === undefined || signal.aborted) return;
        deleted = await store.deleteMinutes(partition, fence, symbol, BATCH_MINUTES);
        counters.deleted += deleted;
        if (deleted > 0) await pause(PAUSE_MS, signal);
      }
    }
  }

  return {
    moved(partition) {
      due.add(partition);
      wake.ring();
    },

    async run(signal) {
      const ring = () => wake.ring();
      signal.addEventListener('abort', ring);
      while (!signal.aborted) {
        const [partition] = due;
        if (partition === undefined) {
          await wake.wait(LOOK_MS);
          continue;
        }
        due.delete(partition);
        try {
          await clear(partition, signal);
        } catch (err) {
          logFailure({ partition, err });
          due.add(partition);
          await pause(FAILED_PAUSE_MS, signal);
        }
      }
      signal.removeEventListener('abort', ring);
    },
  };
}
