import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger as logger } from '@candlewire/runtime';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { type RedisServer, redisPid, startRedis } from './redis';
import { findRedis } from './redis-binary';

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'candlewire-test-'));
});

afterEach(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

test('without any server, and without leave to fetch one, the reason says what to do', async () => {
  const found = await findRedis({ download: false, logger, names: ['no-such-server'], cache: dataDir });
  expect(found).toMatch(/^no redis-server on the PATH.*install redis-server or set REDIS_URL$/);
});

describeWithRedis('a Redis of our own', () => {
  async function start(folder: string | null): Promise<RedisServer> {
    const server = await startRedis({ dataDir: folder, download: true, logger });
    if ('missing' in server) throw new Error(server.missing);
    return server;
  }

  async function withClient<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(url, { retryStrategy: () => null, disconnectTimeout: 100 });
    redis.on('error', () => {});
    try {
      return await use(redis);
    } finally {
      redis.disconnect();
    }
  }

  test('a fetched copy is used where the PATH has none', async () => {
    const found = await findRedis({ download: true, logger });
    if (typeof found === 'string') throw new Error(found);
    const real = found.file.includes('/') ? found.file : execFileSync('which', [found.file]).toString().trim();
    mkdirSync(join(dataDir, 'redis/usr/bin'), { recursive: true });
    mkdirSync(join(dataDir, 'redis/usr/lib'));
    symlinkSync(real, join(dataDir, 'redis/usr/bin/redis-server'));
    const cached = await findRedis({ download: false, logger, names: ['no-such-server'], cache: dataDir });
    expect(cached).toMatchObject({ file: join(dataDir, 'redis/usr/bin/redis-server') });
  });

  test('what was written is kept from one start to the next, and the address opens with its password alone', async () => {
    const first = await start(dataDir);
    await withClient(first.url, (redis) => redis.set('kept', '42'));
    const other = new URL(first.url);
    other.username = '';
    other.password = '';
    await expect(withClient(other.href, (redis) => redis.get('kept'))).rejects.toThrow('NOAUTH');
    await first.stop();
    const second = await start(dataDir);
    expect(await withClient(second.url, (redis) => redis.get('kept'))).toBe('42');
    await second.stop();
  });

  test('a server that is killed comes back at its address', async () => {
    const server = await start(dataDir);
    const pid = redisPid(dataDir)!;
    process.kill(pid, 'SIGKILL');
    await waitFor(() => (redisPid(dataDir) ?? pid) !== pid, { what: 'another one runs' });
    const answer = () => withClient(server.url, (redis) => redis.ping());
    expect(await waitFor(answer, { what: 'it answers' })).toBe('PONG');
    await server.stop();
  });

  test('a folder that a living server uses is refused by its pid', async () => {
    const server = await start(dataDir);
    const pid = redisPid(dataDir)!;
    await expect(start(dataDir)).rejects.toThrow(`already running, pid ${pid}`);
    await server.stop();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});
