import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Bus } from '@candlewire/bus';
import { channelsOf, PARTITIONS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import { type Store, StoreUnavailable } from '@candlewire/store';
import type { Counters } from './counters';
import { createElection, LEASE_MS, type Term } from './election';
import { createFeedReporter } from './feed-reporter';
import { createFills, type Fills, type FillsCounters, type FillsOptions } from './fill/fills';
import { createJournalWriter } from './journal-writer';
import { serveTerm } from './serve-term';
import type { Source } from './sources/source';
import type { SymbolSet } from './symbols';
import { systemTime, type Time } from './time';

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
  /** How history is filled. A source that has none needs it too: whoever asks for some is told so. */
  readonly fill?: FillOptions;
  /** Where rebuilds are asked for; absent: none are. */
  readonly rebuilds?: Pick<Store, 'relayRebuilds'>;
  /** How long the lead outlasts a leader that died; default 9 s. */
  readonly leaseMs?: number;
}

export type FillOptions = Pick<FillsOptions, 'store' | 'databaseUrl' | 'calendar' | 'historyDays' | 'maxPerMin'>;

/** How things stand at this moment. */
export interface Standing {
  readonly leads: boolean;
  /** Ranges of history that are still to be filled; null where this process does not lead, or the source has none. */
  readonly queued: number | null;
  /** Symbols that are wanted and not delivered; null where this process does not lead. */
  readonly leftOut: number | null;
}

export interface Ingestor {
  /**
   * Waits for the store and the bus, then for the lead, and while it has it passes on what the source delivers, until
   * `signal` is aborted; what is being appended then is finished first. Store and bus may go away and come back. A source
   * that has finished or failed is not the end: a journal that turns out to be another one makes it start again.
   * @throws StoreMismatch where the store belongs to another source, and whatever else no retry can help
   */
  run(signal: AbortSignal): Promise<void>;
  counters(): Counters;
  standing(): Standing;
}

const NOTHING_FILLED: FillsCounters = { bars: 0, ranges: 0, failures: 0, requests: 0, rateLimited: 0 };

export function createIngestor(options: IngestorOptions): Ingestor {
  const {
    source,
    bus,
    store,
    migrate,
    prefix,
    logger,
    time = systemTime,
    symbols,
    fill,
    rebuilds,
    leaseMs = LEASE_MS,
  } = options;
  const channels = channelsOf(prefix);
  const writer = createJournalWriter({ journal: bus.journal, channels, time, logger });
  const election = createElection({ leader: bus.leader, owner: ownName(), leaseMs, time, logger });
  let fills: Fills | null = null;
  /** Of terms that are over. */
  let filled: FillsCounters = NOTHING_FILLED;
  /** The present one, while it is served. */
  let term: Term | null = null;
  let terms = 0;
  let termsLost = 0;
  const logWaiting = boundedLog(logger, 'waiting for the store', { first: 1 });

  let ticksTold = 0;
  const counters = (): Counters => ({
    ...writer.appended,
    terms,
    termsLost,
    fills: source.history && fill ? sumOf(filled, fills?.counters()) : null,
    refused: { ...source.refused },
    ticks: ticksTold,
  });
  const onTicks = (count: number) => {
    ticksTold += count;
  };

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

  async function serve(term: Term): Promise<void> {
    const feed = createFeedReporter({
      bus,
      channel: channels.feedStatus,
      kind: source.kind,
      isHeld: term.isHeld,
      isCatchingUp: () => fills?.isCatchingUp() ?? false,
      counters,
      leftOut: source.leftOut,
      time,
      logger,
    });
    const wanted = () => symbols?.current() ?? [];
    fills = fill ? createFills({ ...fill, source, writer, symbols: wanted, time, logger }) : null;
    try {
      const parts = { source, bus, channels, writer, symbols, feed, fills, rebuilds };
      await serveTerm({ ...parts, counters, onTicks, time, logger }, term);
    } finally {
      filled = sumOf(filled, fills?.counters());
      fills = null;
    }
  }

  async function counted(won: Term, signal: AbortSignal): Promise<void> {
    term = won;
    terms++;
    try {
      await serve(won);
    } finally {
      term = null;
      if (!signal.aborted) termsLost++;
    }
  }

  return {
    counters,
    standing() {
      const leads = term?.isHeld() ?? false;
      return {
        leads,
        queued: leads && source.history !== undefined ? (fills?.queued() ?? null) : null,
        leftOut: leads ? (source.leftOut?.().length ?? 0) : null,
      };
    },

    async run(signal) {
      try {
        await declare(signal);
        await election.run((won) => counted(won, signal), signal);
      } catch (err) {
        if (!signal.aborted) throw err;
      }
    },
  };
}

/** For people who look who leads, and no other process's: numbers of processes come again, in containers at once. */
function ownName(): string {
  return `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
}

function sumOf(one: FillsCounters, other: FillsCounters | undefined): FillsCounters {
  if (other === undefined) return one;
  return {
    bars: one.bars + other.bars,
    ranges: one.ranges + other.ranges,
    failures: one.failures + other.failures,
    requests: one.requests + other.requests,
    rateLimited: one.rateLimited + other.rateLimited,
  };
}
