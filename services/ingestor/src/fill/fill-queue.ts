import { backoffMs, boundedLog, type Logger, pause } from '@candlewire/runtime';
import type { FillKey, PlannedFill } from '@candlewire/store';
import { createPostgresBackend, DelayedError, type Job, withBackend } from 'bullmq';
import type { FillProgress } from './fill-range';

/** Tables of the queue, in the store's database: it outlives a lost Redis, and needs none. */
const SCHEMA = 'jobs';
const QUEUE = 'fill';
const CONCURRENCY = 2;
/** Connections of the queue and of the worker, which has one more to listen. */
const QUEUE_POOL_MAX = 1;
const WORKER_POOL_MAX = CONCURRENCY + 1;
/** A job of a process that was killed is taken up by another after about so long. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 5_000;
/** Being taken from a killed process is nobody's failure. */
const STALLED_MAX = 1_000_000;
/** With the pauses between them: more than a day. Then a range is given up, until an ingestor takes the lead anew. */
const ATTEMPTS_MAX = 200;
const RETRY_MAX_MS = 600_000;
/** What was appended is looked at after a commit's time, then as often as it costs little: bars that change nothing are committed late. */
const CONFIRM_FIRST_MS = 500;
const CONFIRM_MS = 5_000;
/** Longer than it takes to close, so that whoever hands a job back does not take it again. */
const HAND_OVER_MS = 500;
/** Of the queue's own events, which nobody reads. */
const EVENTS_MAX = 1_000;
const ADD_JOBS_MAX = 1_000;
/** How long closing waits for Postgres. */
const CLOSE_MS = 5_000;
/** After Postgres could not be reached. */
const RECONNECT_MS = 1_000;

const { Queue, Worker } = withBackend(createPostgresBackend);

/**
 * How a look at a range ended: `done`, whatever it came to; `appended`: it stands in a journal, to be looked at until it is
 * committed; `interrupted`: `signal` was aborted; a number: to be looked at again after so many ms.
 */
export type WorkOutcome = 'done' | 'appended' | 'interrupted' | number;

export interface FillQueueOptions {
  /** DATABASE_URL */
  readonly url: string;
  readonly logger: Logger;
  /** Works on a range until it is done, or `signal` is aborted. A range that it throws at is tried again later. */
  readonly work: (
    fill: FillKey,
    progress: FillProgress | null,
    save: (progress: FillProgress) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<WorkOutcome>;
  /** Hears of each failure; `isLast`: the range is given up. */
  readonly onFailure: (fill: FillKey, err: Error, isLast: boolean) => Promise<void>;
}

export interface FillCounters {
  /** Ranges that this process has filled. */
  readonly ranges: number;
  /** Attempts of it that failed. */
  readonly failures: number;
}

/** Ranges to be filled, in Postgres, and this process's part in the work on them. */
export interface FillQueue {
  readonly counters: FillCounters;
  /** Adds what is not in the queue already. */
  add(fills: readonly PlannedFill[]): Promise<void>;
  /** Hands back what is being worked on, and disconnects; gives up after some seconds without Postgres. */
  close(): Promise<void>;
}

/** @throws where Postgres cannot be reached or refuses the tables */
export async function openFillQueue({ url, logger, work, onFailure }: FillQueueOptions): Promise<FillQueue> {
  const counters = { ranges: 0, failures: 0 };
  const stopping = new AbortController();
  const logFailure = boundedLog(logger, 'history not filled, to be tried again');
  const logLost = boundedLog(logger, 'the queue lost Postgres', { first: 1 });
  const onError = (err: Error) => logLost({ err });
  const connection = (max: number) => ({ connectionString: url, schema: SCHEMA, migrate: true, max });

  const queue = new Queue<FillKey>(QUEUE, {
    connection: connection(QUEUE_POOL_MAX),
    streams: { events: { maxLen: EVENTS_MAX } },
    defaultJobOptions: {
      attempts: ATTEMPTS_MAX,
      backoff: { type: 'custom' },
      // A range that is done may be planned again: only one that is still to be filled is in the way.
      removeOnComplete: true,
      // What was given up is known to the store.
      removeOnFail: true,
    },
  });
  queue.on('error', onError);
  try {
    await queue.waitUntilReady();
  } catch (err) {
    await queue.close();
    throw err;
  }

  async function process(job: Job<FillKey>, token?: string): Promise<void> {
    // BullMQ has 0 for no progress.
    const progress = typeof job.progress === 'object' ? (job.progress as FillProgress) : null;
    const save = (next: FillProgress) => job.updateProgress(next);
    // A worker that is being closed may still take one, the very job that it has just handed back for instance.
    let outcome: WorkOutcome;
    try {
      outcome = stopping.signal.aborted ? 'interrupted' : await work(job.data, progress, save, stopping.signal);
    } catch (err) {
      await onFailure(job.data, err as Error, job.attemptsMade + 1 >= ATTEMPTS_MAX);
      throw err;
    }
    if (outcome === 'done') return;
    // None of it is a failure: the job goes back as it is, for this process later or for another one soon.
    await job.moveToDelayed(backAt(outcome, progress), token);
    throw new DelayedError();
  }

  function backAt(outcome: Exclude<WorkOutcome, 'done'>, before: FillProgress | null): number {
    if (typeof outcome === 'number') return Date.now() + Math.max(0, Math.ceil(outcome));
    if (outcome === 'interrupted') return Date.now() + HAND_OVER_MS;
    const wasAppended = before?.journal != null && Date.now() - before.fetchedAt > CONFIRM_MS;
    return Date.now() + (wasAppended ? CONFIRM_MS : CONFIRM_FIRST_MS);
  }

  const worker = new Worker<FillKey>(QUEUE, process, {
    connection: connection(WORKER_POOL_MAX),
    concurrency: CONCURRENCY,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_CHECK_MS,
    maxStalledCount: STALLED_MAX,
    runRetryDelay: RECONNECT_MS,
    // Whole: a fraction of a millisecond is refused by Postgres, and the job would stay where it is.
    settings: { backoffStrategy: (attempt) => Math.round(backoffMs(attempt, RETRY_MAX_MS)) },
  });
  worker.on('error', onError);
  worker.on('completed', () => {
    counters.ranges++;
  });
  let told = 0;
  worker.on('drained', () => {
    if (counters.ranges > told) logger.info('history filled', { ranges: counters.ranges - told });
    told = counters.ranges;
  });
  worker.on('failed', (job, err) => {
    counters.failures++;
    const fields = { ...job?.data, attempt: job?.attemptsMade, err };
    if ((job?.attemptsMade ?? 0) >= ATTEMPTS_MAX) logger.error('history not filled', fields);
    else logFailure(fields);
  });

  return {
    counters,
    async add(fills) {
      for (let at = 0; at < fills.length; at += ADD_JOBS_MAX) {
        await queue.addBulk(
          fills.slice(at, at + ADD_JOBS_MAX).map(({ priority, ...fill }) => ({
            name: 'history',
            data: fill,
            // What is to be filled is the job's identity: planned twice, it is there once.
            opts: { priority, jobId: `${fill.symbol}_${fill.from}_${fill.to}_${fill.backfill}` },
          })),
        );
      }
    },
    async close() {
      stopping.abort();
      const limit = new AbortController();
      const closing = worker
        .close()
        .then(() => queue.close())
        .finally(() => limit.abort());
      await Promise.race([closing, pause(CLOSE_MS, limit.signal)]);
      // Without Postgres nothing can be handed back; it is taken over once its lock has run out.
      if (!limit.signal.aborted) logger.warn('history is left as it is: Postgres is away');
    },
  };
}
