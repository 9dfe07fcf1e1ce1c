import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { postgresPid, startPostgres, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { Client } from 'pg';

const RECOVERY_MS = 60_000;

/** A server of a suite's own, which comes back on the same address when it was killed. */
export interface MortalServer {
  readonly url: string;
  /** kill -9; resolves when it is back: Postgres with what is on its disk, Redis with nothing. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** A Postgres that syncs to its disk as one in use does. */
export async function startMortalPostgres(): Promise<MortalServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'candlewire-mortal-'));
  // Root's server runs as another user, who has to get there.
  chmodSync(dataDir, 0o755);
  const server = await startPostgres({ dataDir, logger: silentLogger });
  return {
    url: server.url,
    async kill() {
      const pid = postgresPid(dataDir)!;
      process.kill(pid, 'SIGKILL');
      await waitFor(async () => (await answers(server.url)) && postgresPid(dataDir) !== pid, {
        timeoutMs: RECOVERY_MS,
        what: 'Postgres is back',
      });
    },
    async stop() {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  await client.query('select 1');
  await client.end();
  return true;
}

/** A Redis that keeps nothing; a string: why there is none. */
export async function startMortalRedis(): Promise<MortalServer | string> {
  const download = process.env.CANDLEWIRE_NO_DOWNLOAD !== '1';
  const server = await startRedis({ dataDir: null, download, logger: silentLogger });
  if ('missing' in server) return server.missing;
  return {
    url: server.url,
    async kill() {
      const pid = await redisPid(server.url);
      process.kill(pid, 'SIGKILL');
      await waitFor(async () => (await redisPid(server.url)) !== pid, {
        timeoutMs: RECOVERY_MS,
        what: 'Redis is back',
      });
    },
    stop: () => server.stop(),
  };
}

async function redisPid(url: string): Promise<number> {
  const redis = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null });
  redis.on('error', () => {});
  try {
    return Number(/process_id:(\d+)/.exec(await redis.info('server'))![1]);
  } finally {
    redis.disconnect();
  }
}
