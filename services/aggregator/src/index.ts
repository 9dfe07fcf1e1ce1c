import { type Bus, busConfig, connectBus } from '@candlewire/bus';
import { channelsOf, PARTITIONS } from '@candlewire/contracts';
import {
  ConfigError,
  createMetrics,
  type Env,
  type Logger,
  loadCalendar,
  type Metrics,
  parseConfig,
  type Running,
  retry,
  serveMetrics,
} from '@candlewire/runtime';
import { connectStore, migrate, StoreMismatch } from '@candlewire/store';
import { createAggregator } from './aggregator';
import { aggregatorConfig } from './config';
import { newOwner } from './owner';

export { type Aggregator, type AggregatorDeps, createAggregator } from './aggregator';
export { aggregatorConfig } from './config';

/** A connection for each partition that may commit at the same time, and a few for the rest. */
const POOL_MAX = PARTITIONS + 4;

export interface StartOptions {
  /** Used instead of the one at REDIS_URL, which may be missing then; stays open. */
  readonly bus?: Bus;
  /** Used instead of its own, and served by whoever brought them: METRICS_PORT is left alone. */
  readonly metrics?: Metrics;
}

/**
 * Starts an aggregator: waits for the store and for the ingestor that names its source, then owns its share of the
 * partitions.
 * @throws ConfigError naming all that is wrong with the environment
 */
export async function startAggregator(env: Env, logger: Logger, options: StartOptions = {}): Promise<Running> {
  const { bus: given, metrics = createMetrics() } = options;
  if (given === undefined) parseConfig(aggregatorConfig, env);
  const config = parseConfig({ ...aggregatorConfig, REDIS_URL: busConfig.REDIS_URL }, env);
  loadCalendar('nyse', config.CALENDAR_FILE);
  const { METRICS_PORT: port, METRICS_HOST: host } = config;
  const told =
    options.metrics === undefined && port !== undefined
      ? await serveMetrics({ host, port, metrics, service: 'aggregator', logger })
      : null;

  const stopping = new AbortController();
  const store = connectStore({ url: config.DATABASE_URL, logger, poolMax: POOL_MAX });
  const bus = given ?? connectBus({ url: config.REDIS_URL!, prefix: config.REDIS_PREFIX, logger });
  let running: ReturnType<typeof createAggregator> | null = null;

  const start = async () => {
    const waiting = (event: string) => (err: unknown, attempt: number) => {
      // A store that is newer than this program will not get older.
      if (err instanceof StoreMismatch) throw err;
      if (attempt === 1) logger.warn(event, { err });
    };
    const { signal } = stopping;
    await retry(() => migrate(config.DATABASE_URL), { signal, onFailure: waiting('waiting for postgres') });
    const identity = await retry(
      async () => {
        const found = await store.identity();
        if (found === null) throw new Error('no ingestor has named its source yet');
        return found;
      },
      { signal, maxMs: 1_000, onFailure: waiting('waiting for the store to be named') },
    );
    if (identity.partitions !== PARTITIONS) {
      throw new ConfigError([
        `DATABASE_URL: this store has ${identity.partitions} partitions, this version ${PARTITIONS}`,
      ]);
    }
    const calendar = loadCalendar(identity.calendar, config.CALENDAR_FILE);
    if (calendar.lastYear !== null && new Date().getUTCFullYear() > calendar.lastYear) {
      logger.warn('calendar table has ended: holidays are unknown', { lastYear: calendar.lastYear });
    }
    running = createAggregator({
      store,
      bus,
      channels: channelsOf(config.REDIS_PREFIX),
      epoch: identity.epoch,
      rules: { calendar, graceMs: config.FINAL_GRACE_MS },
      logger,
      metrics,
      owner: newOwner(),
      retentionDays: config.RETENTION_1M ?? null,
    });
  };
  // In the background: a service must be told to stop, or stand beside others, while it still waits for its store.
  const started = start();
  const done = new Promise<never>((_, reject) => {
    started.catch((err) => {
      if (!stopping.signal.aborted) reject(err);
    });
  });

  return {
    done,
    shutdown: [
      {
        name: 'aggregator: finish and give back partitions',
        run: async () => {
          stopping.abort();
          await started.catch(() => {});
          await running?.stop();
        },
      },
      {
        name: 'aggregator: close',
        run: async () => void (await Promise.all([store.close(), given === undefined && bus.close(), told?.close()])),
      },
    ],
  };
}
