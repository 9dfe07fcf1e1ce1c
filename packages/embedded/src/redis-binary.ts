import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from '@candlewire/runtime';
import { cacheFolder } from './folders';

const run = promisify(execFile);
const NAMES = ['redis-server', 'valkey-server'];
const VERSION_TIMEOUT_MS = 5_000;
const FETCH_TIMEOUT_MS = 120_000;
const DPKG_STATUS = '/var/lib/dpkg/status';

export interface RedisBinary {
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  /** For people: `redis-server 7.0.15 on the PATH`. */
  readonly how: string;
}

/** @param download whether Debian's packages may be fetched where nothing else is found */
export interface RedisSearch {
  readonly download: boolean;
  readonly logger: Logger;
  /** Names to look for on the PATH. */
  readonly names?: readonly string[];
  /** Where fetched copies are kept. */
  readonly cache?: string;
}

/**
 * A Redis (or Valkey) server that runs here: one on the PATH, else the copy that was fetched before, else one fetched
 * from the packages of Debian or Ubuntu, without root and without installing anything.
 * @returns a string: why there is none
 */
export async function findRedis(search: RedisSearch): Promise<RedisBinary | string> {
  for (const name of search.names ?? NAMES) {
    const version = await versionOf(name, {});
    if (version !== null) return { file: name, env: {}, how: `${name} ${version} on the PATH` };
  }
  const folder = join(search.cache ?? cacheFolder(), 'redis');
  const cached = await inFolder(folder, 'a copy in');
  if (cached) return cached;

  const install = 'install redis-server or set REDIS_URL';
  if (!search.download) return `no redis-server on the PATH, and fetching one is switched off: ${install}`;
  if (process.platform !== 'linux' || !existsSync(DPKG_STATUS)) return `no redis-server on the PATH: ${install}`;
  search.logger.warn('no redis-server on the PATH: fetching the distribution’s package, without installing it', {
    folder,
  });
  try {
    await fetchPackages(folder);
  } catch (err) {
    const { stderr, message, killed } = err as Error & { stderr?: string; killed?: boolean };
    const why = killed ? `not done within ${FETCH_TIMEOUT_MS / 1000} s` : (lastLine(stderr) ?? message);
    return `no redis-server on the PATH, and fetching one failed (${why}): ${install}`;
  }
  return (
    (await inFolder(folder, 'from Debian packages, kept in')) ??
    `no redis-server on the PATH, and the one in ${folder} does not run here: ${install}`
  );
}

/** `7.0.15`, or null where it is not there or does not run. */
async function versionOf(file: string, env: Readonly<Record<string, string>>): Promise<string | null> {
  try {
    // The PATH is what this process has; a library path is needed by fetched copies alone.
    const { stdout } = await run(file, ['--version'], {
      timeout: VERSION_TIMEOUT_MS,
      ...(Object.keys(env).length > 0 && { env }),
    });
    return /v=(\S+)/.exec(stdout)?.[1] ?? null;
  } catch {
    return null;
  }
}

async function inFolder(folder: string, how: string): Promise<RedisBinary | null> {
  const file = join(folder, 'usr/bin/redis-server');
  if (!existsSync(file)) return null;
  const libraries = join(folder, 'usr/lib');
  const paths = [libraries, ...readdirSync(libraries).map((name) => join(libraries, name))];
  const env = { LD_LIBRARY_PATH: paths.join(':') };
  const version = await versionOf(file, env);
  return version === null ? null : { file, env, how: `redis-server ${version} (${how} ${folder})` };
}

/**
 * apt resolves, fetches and verifies what this system lacks for a redis-server, with lists and archives in a folder of
 * ours and without locks, for which no root is needed; dpkg unpacks. The system is only read.
 */
async function fetchPackages(folder: string): Promise<void> {
  const work = `${folder}.${process.pid}`;
  const unpacked = join(work, 'unpacked');
  for (const path of ['lists/partial', 'archives/partial', 'unpacked'])
    mkdirSync(join(work, path), { recursive: true });
  const options = {
    Dir: { 'State::lists': join(work, 'lists'), Cache: work, 'State::status': DPKG_STATUS },
    Debug: { NoLocking: '1' },
    // As root apt would fetch as another user, who cannot write here.
    APT: { 'Sandbox::User': 'root' },
    Acquire: { 'http::Timeout': '20', 'https::Timeout': '20', Retries: '1' },
  };
  const flags = Object.entries(options).flatMap(([section, values]) =>
    Object.entries(values).flatMap(([key, value]) => ['-o', `${section}::${key}=${value}`]),
  );
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  try {
    await run('apt-get', [...flags, '-q', 'update'], { signal });
    const install = ['-q', '-y', '--no-install-recommends', '--download-only', 'install', 'redis-server'];
    await run('apt-get', [...flags, ...install], { signal });
    for (const archive of readdirSync(join(work, 'archives')).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', join(work, 'archives', archive), unpacked], { signal });
    }
    rmSync(folder, { recursive: true, force: true });
    renameSync(unpacked, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function lastLine(text: string | undefined): string | undefined {
  return text?.trim().split('\n').at(-1) || undefined;
}
