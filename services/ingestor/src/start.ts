import { type Bus, connectBus } from '@candlewire/bus';
import type { MarketCalendar } from '@candlewire/candles';
import { channelsOf, type SourceKind } from '@candlewire/contracts';
import {
  createMetrics,
  type Env,
  type Logger,
  loadCalendar,
  type Metrics,
  type Running,
  serveMetrics,
} from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import { DEFAULT_SYMBOLS, parseIngestorConfig } from './config';
import { createIngestor, type IngestorOptions } from './ingestor';
import { registerMetrics } from './metrics';
import { createAlpacaSource } from './sources/alpaca/alpaca-source';
import { alpacaSettings, TEST_SYMBOLS } from './sources/alpaca/settings';
import { createReplaySource } from './sources/replay-source';
import { createSimulatorSource } from './sources/simulator-source';
import { createSymbolSet, type SymbolSet, type SymbolSetOptions } from './symbols';
import { systemTime } from './time';

export interface StartOptions {
  /** Used instead of the one at REDIS_URL, which may be missing then; stays open. */
  readonly bus?: Bus;
  /** Used instead of its own, and served by whoever brought them: METRICS_PORT is left alone. */
  readonly metrics?: Metrics;
}

type Config = ReturnType<typeof parseIngestorConfig>;

/**
 * Starts an ingestor from an environment. Returns at once: the store and the bus are waited for in the background, and
 * what cannot be helped (a store of another source) rejects `done`.
 * @throws ConfigError where the environment says something else than it must, or METRICS_PORT is in use
 */
export async function startIngestor(env: Env, logger: Logger, options: StartOptions = {}): Promise<Running> {
  const { bus: given, metrics = createMetrics() } = options;
  const config = parseIngestorConfig(env, given !== undefined);
  const parts = PARTS[config.SOURCE](config, logger);
  const { METRICS_PORT: port, METRICS_HOST: host } = config;
  const told =
    options.metrics === undefined && port !== undefined
      ? await serveMetrics({ host, port, metrics, service: 'ingestor', logger })
      : null;
  const bus = given ?? connectBus({ url: config.REDIS_URL!, prefix: config.REDIS_PREFIX, logger });
  const store = connectStore({ url: config.DATABASE_URL, logger });
  const ingestor = createIngestor({
    ...parts(bus, store, logger),
    bus,
    store,
    rebuilds: store,
    migrate: () => migrate(config.DATABASE_URL),
    prefix: config.REDIS_PREFIX,
    leaseMs: config.INGESTOR_LEASE_MS,
    logger,
  });
  registerMetrics(metrics, { source: config.SOURCE, ingestor, journal: bus.journal });
  const stop = new AbortController();
  const done = ingestor.run(stop.signal);
  return {
    done,
    shutdown: [
      {
        name: 'stop the source',
        run: async () => {
          stop.abort();
          // Whether it failed is for whoever watches `done`.
          await done.catch(() => {});
        },
      },
      {
        name: 'close',
        run: async () => {
          await Promise.all([given === undefined && bus.close(), store.close(), told?.close()]);
        },
      },
    ],
  };
}

/** A source and what it needs of the ingestor, made before anything is connected: what is wrong with it is told at once. */
type SourceParts = (bus: Bus, store: Store, logger: Logger) => Pick<IngestorOptions, 'source' | 'symbols' | 'fill'>;

function replay(config: Config, logger: Logger): SourceParts {
  const calendar = loadCalendar('nyse', config.CALENDAR_FILE);
  const source = createReplaySource({
    file: config.REPLAY_FILE!,
    speed: config.REPLAY_SPEED,
    graceMs: config.FINAL_GRACE_MS,
    calendar,
    time: systemTime,
    logger,
  });
  return (_bus, store) => ({ source, fill: fillOf(config, store, calendar) });
}

function simulator(config: Config): SourceParts {
  const calendar = loadCalendar(config.SIM_CALENDAR, config.CALENDAR_FILE);
  return (bus, store, logger) => {
    const symbols = symbolsOf(config, { store, bus, defaults: DEFAULT_SYMBOLS, logger });
    return {
      source: createSimulatorSource({ seed: config.SIM_SEED, calendar, symbols: symbols.current, time: systemTime }),
      symbols,
      fill: fillOf(config, store, calendar),
    };
  };
}

function alpaca(config: Config): SourceParts {
  const settings = alpacaSettings(config);
  const isTest = settings.feed === 'test';
  const calendar = loadCalendar(isTest ? '24x7' : 'nyse', config.CALENDAR_FILE);
  const defaults = isTest ? TEST_SYMBOLS : DEFAULT_SYMBOLS;
  return (bus, store, logger) => {
    const symbols = symbolsOf(config, { store, bus, defaults, lingerMs: config.DEMAND_LINGER_MS, logger });
    return {
      source: createAlpacaSource({ settings, calendar, symbols: symbols.current, time: systemTime, logger }),
      symbols,
      fill: fillOf(config, store, calendar, config.HISTORY_MAX_PER_MIN),
    };
  };
}

const PARTS: Readonly<Record<SourceKind, (config: Config, logger: Logger) => SourceParts>> = {
  simulator,
  alpaca,
  replay,
};

function symbolsOf(
  config: Config,
  options: Pick<SymbolSetOptions, 'store' | 'bus' | 'defaults' | 'lingerMs' | 'logger'>,
): SymbolSet {
  const channel = channelsOf(config.REDIS_PREFIX).symbols;
  return createSymbolSet({ ...options, channel, wanted: config.SYMBOLS ?? null, time: systemTime });
}

/** @param maxPerMin HISTORY_MAX_PER_MIN, for a source that counts requests */
function fillOf(config: Config, store: Store, calendar: MarketCalendar, maxPerMin = Number.POSITIVE_INFINITY) {
  return { store, databaseUrl: config.DATABASE_URL, calendar, historyDays: config.HISTORY_DAYS, maxPerMin };
}
