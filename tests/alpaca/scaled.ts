import { createIngestor, type Ingestor } from '@candlewire/ingestor';
import { type Logger, loadCalendar, pause, silentLogger } from '@candlewire/runtime';
import { migrate } from '@candlewire/store';
import { FAKE_KEY, FAKE_SECRET, type FakeAlpaca } from '@candlewire/testkit';
import { createAlpacaSource } from '../../services/ingestor/src/sources/alpaca/alpaca-source';
import type { Timings } from '../../services/ingestor/src/sources/alpaca/timings';
import { createSymbolSet } from '../../services/ingestor/src/symbols';
import type { Pipeline } from '../pipeline/harness';
import type { MarketTime } from './market-time';

/** History is asked for as fast as it goes: the pace is tested elsewhere. */
const REQUESTS_PER_MIN = 1_000_000;
const HURRY_MS = 100;

export interface RunningIngestor {
  readonly ingestor: Ingestor;
  /** As SIGTERM does it. */
  stop(): Promise<void>;
}

export interface ScaledOptions {
  readonly pipeline: Pipeline;
  readonly fake: FakeAlpaca;
  readonly time: MarketTime;
  readonly timings: Timings;
  readonly symbols: readonly string[];
  readonly historyDays: number;
  /** Whether trades are subscribed, too. */
  readonly trades: boolean;
  readonly leaseMs?: number;
  readonly logger?: Logger;
}

/** The real one with the SDK, but for its clock: it runs with the market's. */
export function runScaled(options: ScaledOptions): RunningIngestor {
  const { pipeline, fake, time, timings, historyDays, logger = silentLogger } = options;
  const { bus, store, channels, prefix, databaseUrl } = pipeline;
  const calendar = loadCalendar('nyse');
  const deps = { store, bus, time, logger };
  const symbols = createSymbolSet({ ...deps, channel: channels.symbols, wanted: options.symbols, defaults: [] });
  const settings = {
    keyId: FAKE_KEY,
    secret: FAKE_SECRET,
    feed: 'iex',
    streamUrl: fake.streamUrl(),
    dataUrl: fake.origin,
    symbolsMax: 30,
    trades: options.trades,
  } as const;
  const source = createAlpacaSource({ settings, calendar, symbols: symbols.current, time, logger, timings });
  const stopping = new AbortController();
  const ingestor = createIngestor({
    ...deps,
    source,
    symbols,
    fill: { store, databaseUrl, calendar, historyDays, maxPerMin: REQUESTS_PER_MIN },
    rebuilds: store,
    migrate: () => migrate(databaseUrl),
    prefix,
    ...(options.leaseMs !== undefined && { leaseMs: options.leaseMs }),
  });
  const done = ingestor.run(stopping.signal);
  return {
    ingestor,
    async stop() {
      stopping.abort();
      await done;
    },
  };
}

/** Jobs that wait by the wall clock for what has come to pass by the market's. */
const HURRY = `
  with hurried as (
    update jobs.job set process_at_ms = $1
    where queue = 'fill' and state = 'delayed' and process_at_ms > $1 and coalesce((progress->>'notBefore')::float8, 0) <= $2
    returning 1
  )
  select pg_notify('bullmq_jobs', 'fill') from (select count(*) from hurried) moved (jobs) where jobs > 0`;

/**
 * The jobs of history wait by the wall clock, in which a minute of the market is short. This sees to it, until the signal is
 * aborted, that they wait no longer than by the market's.
 */
export async function hurryFills(pipeline: Pipeline, time: MarketTime, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // Before the first ingestor there is no queue.
    await pipeline.sql(HURRY, [Date.now(), time.now()]).catch(() => {});
    await pause(HURRY_MS, signal);
  }
}
