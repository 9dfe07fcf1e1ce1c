import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KeptServer, startPostgres, startRedis } from '@candlewire/embedded';
import { ConfigError, type Logger, type Phase } from '@candlewire/runtime';
import type { StandaloneConfig } from './config';

const STOP_DEADLINE_MS = 30_000;

/** A server that the services use: one that was there, or one of our own. */
export interface Server {
  readonly url: string;
  /** For people. */
  readonly description: string;
  /** Resolves with the reason where a server of our own has ended for good; of others we do not hear. */
  readonly ended?: Promise<string>;
  readonly shutdown: readonly Phase[];
}

/** @returns where there is no Redis to be had: why; a REDIS_URL that is set is used or nothing is */
export async function redisServer(
  config: StandaloneConfig,
  dataDir: string,
  logger: Logger,
): Promise<Server | { readonly missing: string }> {
  if (config.REDIS_URL) return given(config.REDIS_URL);
  const download = config.CANDLEWIRE_NO_DOWNLOAD !== '1';
  const server = await clearly('Redis', startRedis({ dataDir, download, logger }));
  if ('missing' in server) return server;
  return ours('Redis', server, join(dataDir, 'redis.url'), `${server.how}; data in ${join(dataDir, 'redis')}`);
}

export async function postgresServer(config: StandaloneConfig, dataDir: string, logger: Logger): Promise<Server> {
  if (config.DATABASE_URL) return given(config.DATABASE_URL);
  const server = await clearly('Postgres', startPostgres({ dataDir, logger }));
  return ours('Postgres', server, join(dataDir, 'postgres.url'), `${server.how}; data in ${server.folder}`);
}

/** Where it is, without what opens it. */
function given(url: string): Server {
  const { host, pathname } = new URL(url);
  return { url, description: `${host}${pathname}`, shutdown: [] };
}

/** @param urlFile holds the address while the server runs, for other programs of the same user: it has a password */
function ours(name: string, server: KeptServer & { url: string }, urlFile: string, description: string): Server {
  writeFileSync(urlFile, server.url, { mode: 0o600 });
  const run = async () => {
    await server.stop();
    rmSync(urlFile, { force: true });
  };
  return {
    url: server.url,
    description,
    ended: server.ended,
    shutdown: [{ name: `standalone: stop ${name}`, run, deadlineMs: STOP_DEADLINE_MS }],
  };
}

/** What keeps a server from starting is for people to mend: told as they are told of wrong configuration. */
async function clearly<T>(name: string, start: Promise<T>): Promise<T> {
  try {
    return await start;
  } catch (err) {
    throw new ConfigError([`${name}: ${(err as Error).message}`]);
  }
}
