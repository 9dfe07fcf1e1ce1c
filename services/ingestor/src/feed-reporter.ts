import type { Bus } from '@candlewire/bus';
import { type FeedState, type FeedStatus, LEFT_OUT_MAX, type SourceKind, toIso } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Counters } from './counters';
import type { Time } from './time';

const REPORT_MS = 2_000;

export interface FeedReporterOptions {
  readonly bus: Bus;
  readonly channel: string;
  readonly kind: SourceKind;
  /** Whether this process leads: two voices would contradict each other. Nothing is told while it does not. */
  readonly isHeld: () => boolean;
  /** Whether what was missed of the current day is still being fetched: a live source is said to be `backfilling` then. */
  readonly isCatchingUp?: () => boolean;
  /** Symbols that are wanted and not delivered. */
  readonly leftOut?: (() => readonly string[]) | undefined;
  readonly time: Time;
  readonly logger: Logger;
  readonly counters: () => Pick<Counters, 'bars' | 'refused'>;
}

/** Says how the source does: every two seconds, and at each change of its state. */
export interface FeedReporter {
  /** What the next report says. */
  clock: number | null;
  barsArrived(): void;
  /** A change is told at once. */
  enter(state: FeedState, reason?: string): void;
  /** Reports until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** The last word: a source that nobody reads any more is not live. */
  close(): Promise<void>;
}

export function createFeedReporter(options: FeedReporterOptions): FeedReporter {
  const { bus, channel, kind, isHeld, time, logger, counters } = options;
  const { isCatchingUp = () => false, leftOut = () => [] } = options;
  const logFailure = boundedLog(logger, 'feed status not told', { first: 1 });
  let state: FeedState = 'connecting';
  let reason: string | undefined;
  let lastBarAt: number | null = null;
  let changed = new AbortController();

  async function report(): Promise<void> {
    if (!isHeld()) return;
    const { bars, refused } = counters();
    const missing = leftOut().slice(0, LEFT_OUT_MAX);
    const status: FeedStatus = {
      kind,
      state: state === 'live' && isCatchingUp() ? 'backfilling' : state,
      last_bar_at: lastBarAt === null ? null : toIso(lastBarAt),
      clock: reporter.clock === null ? null : toIso(reporter.clock),
      updated_at: toIso(time.now()),
      bars,
      refused: { ...refused },
      ...(reason === undefined ? {} : { reason }),
      ...(missing.length > 0 && { left_out: missing }),
    };
    try {
      await bus.keep({ channel, text: JSON.stringify(status) });
    } catch (err) {
      logFailure({ err });
    }
  }

  const reporter: FeedReporter = {
    clock: null,
    barsArrived() {
      lastBarAt = time.now();
    },
    enter(next, why) {
      if (next === state && why === reason) return;
      state = next;
      reason = why;
      changed.abort();
    },
    async run(signal) {
      const stop = () => changed.abort();
      signal.addEventListener('abort', stop);
      while (!signal.aborted) {
        // Made before the report: a change that comes while it is under way is told right after it.
        changed = new AbortController();
        await report();
        if (!signal.aborted) await time.pause(REPORT_MS, changed.signal);
      }
      signal.removeEventListener('abort', stop);
    },
    async close() {
      if (state !== 'finished' && state !== 'failed') reporter.enter('connecting');
      await report();
    },
  };
  return reporter;
}
