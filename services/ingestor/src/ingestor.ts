import type { Bus } from '@candlewire/bus';
import { channelsOf, PARTITIONS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import { type Store, StoreUnavailable } from '@candlewire/store';
import { createFeedReporter } from './feed-reporter';
import { createJournalWriter } from './journal-writer';
import type { Delivery, Source } from './sources/source';
import { systemTime, type Time } from './time';
import { withTicks } from './with-ticks';

const TICK_MS = 500;

export interface IngestorOptions {
  readonly source: Source;
  readonly bus: Bus;
  readonly store: Pick<Store, 'declare'>;
  /** Brings the store's tables up to date; called before anything else, again where it failed. */
  readonly migrate: () => Promise<unknown>;
  /** REDIS_PREFIX */
  readonly prefix: string;
  readonly logger: Logger;
  readonly time?: Time;
}

/** Since the process began; a file that is played again counts again. */
export interface Counters {
  /** Bars appended to the journals. */
  readonly bars: number;
  /** Journal entries appended, those with a clock alone included. */
  readonly entries: number;
  /** What the source refused to take for a bar, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export interface Ingestor {
  /**
   * Waits for the store and the bus, then passes on what the source delivers until `signal` is aborted; what is being
   * appended then is finished first. Store and bus may go away and come back. A source that has finished or failed is
   * not the end: a journal that turns out to be another one makes it start again.
   * @throws StoreMismatch where the store belongs to another source, and whatever else no retry can help
   */
  run(signal: AbortSignal): Promise<void>;
  counters(): Counters;
}

export function createIngestor(options: IngestorOptions): Ingestor {
  const { source, bus, store, migrate, prefix, logger, time = systemTime } = options;
  const channels = channelsOf(prefix);
  const writer = createJournalWriter({ journal: bus.journal, channels, time, logger });
  const feed = createFeedReporter({ bus, channel: channels.feedStatus, kind: source.kind, time, logger });

  const logWaiting = boundedLog(logger, 'waiting for the store', { first: 1 });

  const counters = (): Counters => ({ ...writer.appended, refused: { ...source.refused } });

  async function declare(signal: AbortSignal): Promise<void> {
    const act = async () => {
      await migrate();
      await store.declare({ source: source.kind, calendar: source.calendar, partitions: PARTITIONS });
    };
    const onFailure = (err: unknown, attempt: number) => {
      if (!(err instanceof StoreUnavailable)) throw err;
      logWaiting({ err, attempt });
    };
    await retry(act, { signal, onFailure });
  }

  /** Plays the source from its start until the signal is aborted, or a journal is no longer the one it was played to. */
  async function play(signal: AbortSignal): Promise<void> {
    feed.enter('connecting');
    feed.clock = null;
    await writer.open(signal);
    const before = counters();
    const startedAt = time.now();
    logger.info('source starts', { source: source.kind });
    for await (const event of withTicks((inner) => liveOf(source, inner), TICK_MS, time, signal)) {
      const same = event === 'tick' ? await writer.tick(signal) : await take(event, signal);
      if (!same) {
        logger.warn('the journal is another one: starting again');
        return;
      }
      if (event !== 'tick' && event.state === 'finished') {
        logger.info('replay finished', summaryOf(before, counters(), time.now() - startedAt));
      }
    }
  }

  async function take(delivery: Delivery, signal: AbortSignal): Promise<boolean> {
    await writer.room(signal);
    const same = await writer.write(delivery, signal);
    feed.clock = delivery.clock;
    if (delivery.bars.length > 0) feed.barsArrived();
    if (delivery.state !== undefined && same) {
      if (delivery.state === 'failed') logger.error('the source failed', { reason: delivery.reason });
      feed.enter(delivery.state, delivery.reason);
    }
    return same;
  }

  return {
    counters,
    async run(signal) {
      try {
        await declare(signal);
      } catch (err) {
        if (signal.aborted) return;
        throw err;
      }
      const reporting = new AbortController();
      const reports = feed.run(reporting.signal);
      try {
        while (!signal.aborted) await play(signal);
      } catch (err) {
        // Whatever was tried when the signal came was given up for it.
        if (!signal.aborted) throw err;
      } finally {
        reporting.abort();
        await reports;
        await feed.close();
      }
    },
  };
}

/** The source's live stream, in which its error is the last delivery. */
async function* liveOf(source: Source, signal: AbortSignal): AsyncGenerator<Delivery> {
  try {
    yield* source.live(signal);
  } catch (err) {
    yield { clock: null, bars: [], state: 'failed', reason: err instanceof Error ? err.message : String(err) };
  }
}

function summaryOf(before: Counters, after: Counters, durationMs: number): Record<string, unknown> {
  const refused: Record<string, number> = {};
  let malformed = 0;
  for (const [reason, count] of Object.entries(after.refused)) {
    const added = count - (before.refused[reason] ?? 0);
    if (added > 0) refused[reason] = added;
    malformed += added;
  }
  const bars = after.bars - before.bars;
  return { lines: bars + malformed, bars, malformed, refused, entries: after.entries - before.entries, durationMs };
}
