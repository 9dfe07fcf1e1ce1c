import { mkdirSync } from 'node:fs';
import { aggregatorConfig } from '@candlewire/aggregator';
import { busConfig, connectBus } from '@candlewire/bus';
import { postgresPid, redisPid } from '@candlewire/embedded';
import { checkGateway, gatewayConfig } from '@candlewire/gateway';
import { checkIngestorConfig } from '@candlewire/ingestor';
import {
  ConfigError,
  type Env,
  type Logger,
  metricsConfig,
  oneOf,
  parseConfig,
  pause,
  runtimeConfig,
  serveMetrics,
  silentLogger,
  silentMetrics,
} from '@candlewire/runtime';
import { connectStore, StoreUnavailable, storeConfig } from '@candlewire/store';
import { z } from 'zod';

const REDIS_ANSWER_MS = 3_000;
/** A start that follows a killed one finds its servers still going down. */
const PREDECESSOR_MS = 3_000;
const POLL_MS = 50;
const UNDEFINED_TABLE = '42P01';

export const standaloneConfig = {
  ...runtimeConfig,
  ...metricsConfig,
  ...storeConfig,
  ...busConfig,
  PORT: gatewayConfig.PORT,
  HOST: gatewayConfig.HOST,
  /** What is kept between starts. */
  DATA_DIR: z.string().default('data'),
  /** 1: no Redis is fetched where the machine has none. */
  CANDLEWIRE_NO_DOWNLOAD: oneOf(['0', '1']).default('0'),
};
export type StandaloneConfig = ReturnType<typeof parseConfig<typeof standaloneConfig>>;

/**
 * The configuration, once everything that the three services and this one can find wrong was looked for: values, a PORT
 * in use, a file or server that cannot be reached, a DATA_DIR that another start uses.
 * @throws ConfigError with all of it
 */
export async function readConfig(env: Env): Promise<StandaloneConfig> {
  const problems = new Set(valueProblems(env));
  const hasProblem = (name: string) => [...problems].some((problem) => problem.startsWith(`${name}:`));
  const checks: (Promise<readonly string[]> | readonly string[])[] = [checkGateway(env), checkIngestorConfig(env)];
  if (env.METRICS_PORT && !hasProblem('METRICS_PORT')) checks.push(metricsProblems(env));
  if (env.DATABASE_URL && !hasProblem('DATABASE_URL')) checks.push(databaseProblems(env.DATABASE_URL.trim()));
  if (env.REDIS_URL && !hasProblem('REDIS_URL')) checks.push(redisProblems(env.REDIS_URL.trim()));
  if (!env.DATABASE_URL || !env.REDIS_URL) checks.push(dataDirProblems(env.DATA_DIR?.trim() || 'data'));
  for (const found of await Promise.all(checks)) for (const problem of found) problems.add(problem);
  if (problems.size > 0) throw new ConfigError([...problems]);
  return parseConfig(standaloneConfig, env);
}

async function metricsProblems(env: Env): Promise<readonly string[]> {
  const { METRICS_PORT: port = 0, METRICS_HOST: host } = parseConfig(metricsConfig, env);
  try {
    const server = await serveMetrics({ host, port, metrics: silentMetrics, service: 'check', logger: silentLogger });
    await server.close();
    return [];
  } catch (err) {
    if (err instanceof ConfigError) return err.problems;
    throw err;
  }
}

/** As the services will see it: with addresses of servers, which they require and this one brings. */
function valueProblems(env: Env): string[] {
  const filled = {
    ...env,
    DATABASE_URL: env.DATABASE_URL || 'postgres://ours',
    REDIS_URL: env.REDIS_URL || 'redis://ours',
  };
  return [standaloneConfig, aggregatorConfig, gatewayConfig].flatMap((shape) => {
    try {
      parseConfig(shape, filled);
      return [];
    } catch (err) {
      if (err instanceof ConfigError) return err.problems;
      throw err;
    }
  });
}

async function databaseProblems(url: string): Promise<string[]> {
  const store = connectStore({ url, logger: silentLogger });
  try {
    await store.identity();
    return [];
  } catch (err) {
    // Reached, and empty: the tables are made later.
    if ((err as { code?: string }).code === UNDEFINED_TABLE) return [];
    const { message } = err as Error;
    return [`DATABASE_URL: ${err instanceof StoreUnavailable ? message : `Postgres refuses: ${message}`}`];
  } finally {
    await store.close();
  }
}

async function redisProblems(url: string): Promise<string[]> {
  let reason: unknown;
  const listener: Logger = {
    ...silentLogger,
    warn: (_event, fields) => (reason ??= fields?.err),
    child: () => listener,
  };
  const bus = connectBus({ url, prefix: 'check', logger: listener });
  try {
    if (await bus.ping(REDIS_ANSWER_MS)) return [];
    return [`REDIS_URL: no Redis answers${reason instanceof Error ? ` (${reason.message})` : ''}`];
  } finally {
    await bus.close();
  }
}

async function dataDirProblems(dataDir: string): Promise<string[]> {
  try {
    mkdirSync(dataDir, { recursive: true });
    const until = Date.now() + PREDECESSOR_MS;
    for (;;) {
      const servers = { Postgres: postgresPid(dataDir), Redis: redisPid(dataDir) };
      const running = Object.entries(servers).filter(([, pid]) => pid !== null);
      if (running.length === 0) return [];
      if (Date.now() > until) {
        const pids = running.map(([name, pid]) => `${name}, pid ${pid}`).join('; ');
        return [`DATA_DIR: ${dataDir} is in use by another start (already running: ${pids})`];
      }
      await pause(POLL_MS);
    }
  } catch (err) {
    return [`DATA_DIR: ${(err as Error).message}`];
  }
}
