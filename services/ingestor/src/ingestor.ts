import type { Bus } from '@candlewire/bus';
import type { MarketCalendar } from '@candlewire/candles';
import { channelsOf, HOUR_MS, PARTITIONS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import { type Store, StoreUnavailable } from '@candlewire/store';
import { createFeedReporter } from './feed-reporter';
import { createFills, type FillsCounters } from './fill/fills';
import { createJournalWriter } from './journal-writer';
import type { Delivery, Source } from './sources/source';
import type { SymbolSet } from './symbols';
import { relayTicks } from './tick-relay';
import { systemTime, type Time } from './time';
import { withTicks } from './with-ticks';

const TICK_MS = 500;
/** Where a source does not say how late its corrections come. */
const HISTORY_SETTLED_MS = HOUR_MS;

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
  /** What the source is asked for; absent where it delivers what it has, as a replay does. */
  readonly symbols?: SymbolSet;
  /** How history is filled; without effect where the source has none. */
  readonly fill?: FillOptions;
}

export interface FillOptions {
  readonly store: Pick<Store, 'activeSymbols' | 'historyOf' | 'historyBegins' | 'consumed'>;
  /** Of the queue: DATABASE_URL. */
  readonly databaseUrl: string;
  readonly calendar: MarketCalendar;
  /** How many days before the current one a symbol is filled at first. */
  readonly historyDays: number;
}

/** Since the process began; a file that is played again counts again. */
export interface Counters {
  /** Bars appended to the journals, history included. */
  readonly bars: number;
  /** Journal entries appended, those with a clock alone included. */
  readonly entries: number;
  /** Of history; null where the source has none. */
  readonly fills: FillsCounters | null;
  /** What the source refused to take for a bar, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Ticks published. */
  readonly ticks: number;
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
  const { source, bus, store, migrate, prefix, logger, time = systemTime, symbols, fill } = options;
  const channels = channelsOf(prefix);
  const writer = createJournalWriter({ journal: bus.journal, channels, time, logger });
  const { history, settledAfterMs = HISTORY_SETTLED_MS, ticks } = source;
  const fills =
    history && fill ? createFills({ ...fill, history, marginMs: settledAfterMs, writer, time, logger }) : null;

  const logWaiting = boundedLog(logger, 'waiting for the store', { first: 1 });

  let ticksTold = 0;
  const counters = (): Counters => ({
    ...writer.appended,
    fills: fills?.counters() ?? null,
    refused: { ...source.refused },
    ticks: ticksTold,
  });
  const channel = channels.feedStatus;
  const feed = createFeedReporter({ bus, channel, kind: source.kind, time, logger, counters });

  async function declare(signal: AbortSignal): Promise<void> {
    const act = async () => {
      await migrate();
      await store.declare({ source: source.kind, calendar: source.calendar, partitions: PARTITIONS });
      await symbols?.begin();
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
    // From here on live bars flow, again or for the first time, and none of them stands in a journal yet.
    if (delivery.state === 'live' && fills !== null) await fills.plan(await fills.survey(undefined, signal), signal);
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

  /** What a newly registered symbol lacks is surveyed before its live bars come, and planned once they do. */
  const registered = (signal: AbortSignal) => async (added: readonly string[]) => {
    const stored = await fills?.survey(added, signal);
    return async () => {
      if (stored) await fills?.plan(stored, signal);
    };
  };

  /** All that goes on at the same time. Where one part fails for good, all of them end, and the failure is thrown. */
  async function runParts(signal: AbortSignal): Promise<void> {
    const inner = new AbortController();
    const both = AbortSignal.any([signal, inner.signal]);
    const onTold = (count: number) => {
      ticksTold += count;
    };
    const playing = async () => {
      while (!both.aborted) await play(both);
    };
    const parts = [
      playing(),
      fills?.run(both),
      symbols?.follow(registered(both), both),
      ticks && relayTicks({ ticks, bus, channels, time, logger, onTold }, both),
    ];
    const failures: unknown[] = [];
    const failed = (err: unknown) => {
      // Whatever was tried when the signal came was given up for it.
      if (!both.aborted) failures.push(err);
      inner.abort();
    };
    await Promise.all(parts.map((part) => part?.catch(failed)));
    if (failures.length > 0) throw failures[0];
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
        await writer.open(signal);
        await runParts(signal);
      } catch (err) {
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
