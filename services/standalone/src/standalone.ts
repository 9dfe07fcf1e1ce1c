import { join, resolve } from 'node:path';
import { startAggregator } from '@candlewire/aggregator';
import { createInProcessBus, type InProcessHub } from '@candlewire/bus';
import { freePort } from '@candlewire/embedded';
import { startGateway } from '@candlewire/gateway';
import { startIngestor } from '@candlewire/ingestor';
import {
  ConfigError,
  createMetrics,
  type Env,
  type Logger,
  type Phase,
  type Running,
  runPhases,
  serveMetrics,
} from '@candlewire/runtime';
import { migrate, StoreMismatch } from '@candlewire/store';
import { describeRunning } from './banner';
import { readConfig } from './config';
import { postgresServer, redisServer, type Server } from './servers';

export interface StandaloneDeps {
  readonly env: Env;
  /** A logger for each part, by its name. */
  readonly loggerOf: (part: string) => Logger;
  /** Where the banner goes. */
  readonly print: (text: string) => void;
}

/**
 * Everything in one process: finds or starts Postgres and Redis, then the services in the direction of the data. They
 * stop against it, so that whatever a service still has to say finds its listeners' servers.
 * @throws ConfigError with everything that is wrong; what had been started by then is stopped
 */
export async function startStandalone({ env, loggerOf, print }: StandaloneDeps): Promise<Running> {
  const logger = loggerOf('standalone');
  const config = await readConfig(env);
  const dataDir = resolve(config.DATA_DIR);
  const serverShutdown: Phase[] = [];
  const serviceShutdown: Phase[] = [];
  const failures: Promise<never>[] = [];
  const stopping = new AbortController();

  function addServer(name: string, server: Server): void {
    serverShutdown.push(...server.shutdown);
    if (server.ended !== undefined) failures.push(server.ended.then((reason) => endedUnasked(name, reason)));
  }
  function addService(name: string, running: Running): void {
    // Against the direction of the data.
    serviceShutdown.unshift(...running.shutdown);
    if (running.done !== undefined) failures.push(running.done.then(() => endedUnasked(name, 'done')));
  }
  function endedUnasked(name: string, reason: string): never | Promise<never> {
    if (stopping.signal.aborted) return new Promise<never>(() => {});
    throw new Error(`${name} has ended (${reason})`);
  }

  // One for all: the gateway tells them at /metrics, and a port of their own needs no key.
  const metrics = createMetrics();

  try {
    if (config.METRICS_PORT !== undefined) {
      const { METRICS_PORT, METRICS_HOST } = config;
      const told = await serveMetrics({
        host: METRICS_HOST,
        port: METRICS_PORT,
        metrics,
        service: 'standalone',
        logger,
      });
      serverShutdown.push({ name: 'standalone: close metrics', run: () => told.close() });
    }
    const redis = await redisServer(config, dataDir, logger);
    let hub: InProcessHub | null = null;
    if ('missing' in redis) {
      logger.warn('no Redis to be had: the services share an in-process bus', { reason: redis.missing });
      hub = createInProcessBus({ logger });
    } else addServer('Redis', redis);
    const postgres = await postgresServer(config, dataDir, logger);
    addServer('Postgres', postgres);
    await prepareStore(postgres.url);

    const port = config.PORT === 0 ? await freePort() : config.PORT;
    const redisUrl = 'url' in redis ? redis.url : undefined;
    const serviceEnv = { ...env, DATABASE_URL: postgres.url, REDIS_URL: redisUrl, PORT: String(port) };
    // A bus of its own for each, as if each were a process.
    const shared = () => (hub === null ? { metrics } : { metrics, bus: hub.connect() });
    addService('ingestor', await startIngestor(serviceEnv, loggerOf('ingestor'), shared()));
    addService('aggregator', await startAggregator(serviceEnv, loggerOf('aggregator'), shared()));
    addService('gateway', await startGateway(serviceEnv, loggerOf('gateway'), shared()));

    const banner = describeRunning(
      {
        origin: `http://${reachable(config.HOST)}:${port}`,
        postgres: postgres.description,
        bus: 'missing' in redis ? `in-process, for this process alone (${redis.missing})` : redis.description,
        databaseUrl: postgres.url,
        redisCli:
          'missing' in redis
            ? null
            : `redis-cli -u "${config.REDIS_URL ? '$REDIS_URL' : `$(cat ${join(dataDir, 'redis.url')})`}" psubscribe '${config.REDIS_PREFIX}:candles:*'`,
      },
      stopping.signal,
    ).then((text) => text !== null && print(text));
    const begin = async () => {
      stopping.abort();
      await banner;
    };
    return {
      shutdown: [{ name: 'standalone: begin to stop', run: begin }, ...serviceShutdown, ...serverShutdown],
      done: Promise.race(failures),
    };
  } catch (err) {
    stopping.abort();
    await runPhases([...serviceShutdown, ...serverShutdown], logger);
    throw err;
  }
}

/** Once and first, so that a store which cannot be used is told before anything runs on it. */
async function prepareStore(url: string): Promise<void> {
  try {
    await migrate(url);
  } catch (err) {
    if (err instanceof StoreMismatch) throw new ConfigError([`DATABASE_URL: ${err.message}`]);
    throw err;
  }
}

/** An address to call for one to listen on. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
