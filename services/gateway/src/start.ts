import { type Bus, busConfig, connectBus } from '@candlewire/bus';
import { type MarketCalendar, newYorkDay } from '@candlewire/candles';
import { channelsOf } from '@candlewire/contracts';
import {
  boundedLog,
  ConfigError,
  createMetrics,
  type Env,
  type Logger,
  loadCalendar,
  type Metrics,
  parseConfig,
  type Running,
  retry,
  runtimeConfig,
} from '@candlewire/runtime';
import { connectStore, migrate, type Store, StoreMismatch } from '@candlewire/store';
import { checkTogether, corsOriginsOf, gatewayConfig, httpConfig } from './config';
import { createGateway } from './gateway';
import { createHttpServer } from './http/server';
import { wsLimits } from './ws/limits';

export interface StartOptions {
  /** Used instead of the one at REDIS_URL, which may be missing then; stays open. */
  readonly bus?: Bus;
  /** Told at `/metrics` instead of its own alone. */
  readonly metrics?: Metrics;
}

/**
 * Starts the gateway as `env` says. It listens when this resolves, whether or not Postgres and Redis are there: it looks
 * for them in the background and is not ready before.
 * @throws ConfigError with everything that is wrong, a PORT in use included
 */
export async function startGateway(env: Env, logger: Logger, options: StartOptions = {}): Promise<Running> {
  const { bus: given, metrics = createMetrics() } = options;
  const lenient = { ...gatewayConfig, REDIS_URL: busConfig.REDIS_URL };
  const values = () => (given === undefined ? parseConfig(gatewayConfig, env) : parseConfig(lenient, env));
  const problems = [...(await problemsOf(values)), ...(await checkGateway(env))];
  if (problems.length > 0) throw new ConfigError([...new Set(problems)]);

  const config = parseConfig(lenient, env);
  const nyse = loadCalendar('nyse', config.CALENDAR_FILE);
  const bus = given ?? connectBus({ url: config.REDIS_URL!, prefix: config.REDIS_PREFIX, logger });
  const store = connectStore({ url: config.DATABASE_URL, logger });
  const close = async (): Promise<void> => {
    await Promise.allSettled([store.close(), given === undefined && bus.close()]);
  };
  const gateway = createGateway({
    store,
    bus,
    channels: channelsOf(config.REDIS_PREFIX),
    calendars: { nyse, '24x7': loadCalendar('24x7') },
    corsOrigins: corsOriginsOf(config),
    apiKeys: config.API_KEYS,
    trustProxy: config.TRUST_PROXY,
    httpMaxPerS: config.HTTP_MAX_PER_S,
    limits: wsLimits(config),
    logger,
    metrics,
  });
  try {
    const port = await gateway.start(config.PORT, config.HOST);
    logger.info('listening', { host: config.HOST, port });
  } catch (err) {
    await close();
    throw err;
  }
  const stopped = new AbortController();
  const { signal } = stopped;
  const prepared = prepare(config.DATABASE_URL, store, nyse, logger, signal);
  return {
    // Once the store is prepared nothing can end the gateway but a signal.
    done: prepared.then(() => new Promise<never>(() => {})),
    shutdown: [
      ...gateway.shutdown,
      {
        name: 'gateway: close',
        async run() {
          stopped.abort();
          await close();
        },
      },
    ],
  };
}

/** What is wrong with the gateway's own part of a configuration, e.g. `PORT: 8000 is in use on 127.0.0.1`; for whoever reports for several. */
export async function checkGateway(env: Env): Promise<readonly string[]> {
  const problems = [
    ...(await problemsOf(() => loadCalendar('nyse', parseConfig(runtimeConfig, env).CALENDAR_FILE))),
    ...(await problemsOf(() => parseConfig(httpConfig, env))),
    ...(await problemsOf(() => checkTogether(env))),
    ...(await problemsOf(() => tryPort(env))),
  ];
  return [...new Set(problems)];
}

async function problemsOf(act: () => unknown): Promise<readonly string[]> {
  try {
    await act();
    return [];
  } catch (err) {
    if (err instanceof ConfigError) return err.problems;
    throw err;
  }
}

async function tryPort(env: Env): Promise<void> {
  // Only these two: whatever else is wrong must not hide that the port is taken.
  const { PORT, HOST } = parseConfig({ PORT: httpConfig.PORT, HOST: httpConfig.HOST }, env);
  const server = createHttpServer(() => {});
  await server.listen(PORT, HOST);
  server.stopAccepting();
  await server.drained();
}

/**
 * Brings the tables about, as soon as Postgres is there, and says if the calendar has run out.
 * @throws StoreMismatch where the store is newer than this program
 */
async function prepare(
  url: string,
  store: Store,
  nyse: MarketCalendar,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const logFailure = boundedLog(logger, 'waiting for postgres', { first: 1 });
  const onFailure = (err: unknown): void => {
    if (err instanceof StoreMismatch) throw err;
    logFailure({ err });
  };
  try {
    await retry(() => migrate(url), { signal, onFailure });
    const identity = await retry(() => store.identity(), { signal, onFailure });
    const year = Number(newYorkDay(Date.now()).slice(0, 4));
    if (identity?.calendar !== '24x7' && nyse.lastYear !== null && year > nyse.lastYear) {
      logger.warn('calendar table has ended: holidays are unknown', { lastYear: nyse.lastYear });
    }
  } catch (err) {
    if (!signal.aborted) throw err;
  }
}
