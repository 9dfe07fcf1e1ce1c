import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from '@candlewire/runtime';
import { anyoneReaches, clustersFolder, isRoot, NOBODY, temporaryFolder } from './folders';
import { type PostgresBinaries, postgresBinaries } from './postgres-binaries';
import { isAlive, isRunning, type KeptServer, keepServer, type ServerProcess, spawnServer } from './server-process';

const USER = 'candlewire';
const INITDB_TIMEOUT_MS = 60_000;
/** Recovery after a crash comes before it is ready. */
const READY_TIMEOUT_MS = 120_000;
/** Fast shutdown; then without a checkpoint, which costs a recovery at the next start; then by force. */
const STOP_SIGNALS = [
  { signal: 'SIGINT', patienceMs: 20_000 },
  { signal: 'SIGQUIT', patienceMs: 5_000 },
  { signal: 'SIGKILL', patienceMs: 1_000 },
] as const;
/** For data that nobody will miss. */
const CARELESS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=200'];

export interface PostgresServer extends KeptServer {
  readonly url: string;
  /** For people: `Postgres 18.4 from npm binaries`. */
  readonly how: string;
  /** Where its data lie. */
  readonly folder: string;
}

/** What is kept in DATA_DIR beside the cluster, readable by its owner alone. */
interface Record {
  /** Below DATA_DIR where relative. */
  readonly cluster: string;
  readonly password: string;
}

/**
 * Starts a real Postgres on a free port of 127.0.0.1, which ends with this process however that ends, and comes back on
 * the same port where it ends before.
 *
 * Its cluster is `DATA_DIR/postgres`, made at the first start; `DATA_DIR/postgres.json` keeps the password and the
 * cluster's place. That place is another where we are root, so that the server must run as `nobody`, and `nobody` cannot
 * pass through to DATA_DIR (it may lie below a home): then a folder in /var/lib/candlewire.
 *
 * @param dataDir null: a temporary folder, settings without care for crashes, and nothing left when it stops
 * @throws Error with a message for people: no binaries for this platform, another server runs on the folder
 *   ("already running, pid …"), the folder is of another user or Postgres version
 */
export async function startPostgres(options: { dataDir: string | null; logger: Logger }): Promise<PostgresServer> {
  const binaries = postgresBinaries();
  const temporary = options.dataDir === null ? temporaryFolder() : undefined;
  const dataDir = resolve(options.dataDir ?? temporary!);
  try {
    if (temporary && isRoot()) chmodSync(temporary, 0o755);
    mkdirSync(dataDir, { recursive: true });
    const { cluster, password } = readRecord(dataDir) ?? makeRecord(dataDir);
    const folder = resolve(dataDir, cluster);
    if (!existsSync(folder)) {
      options.logger.info('making a database cluster', { folder });
      await initialise(binaries, folder, password, temporary !== undefined);
    }
    assertUsable(folder, binaries);
    const server = await keepServer(
      'Postgres',
      (port) => launch(binaries, folder, port, dataDir, temporary),
      options.logger,
    );
    return {
      url: `postgres://${USER}:${password}@127.0.0.1:${server.port}/postgres`,
      how: `Postgres ${binaries.version} from npm binaries`,
      folder,
      ended: server.ended,
      stop: server.stop,
    };
  } catch (err) {
    if (temporary) rmSync(temporary, { recursive: true, force: true });
    throw err;
  }
}

function readRecord(dataDir: string): Record | null {
  try {
    return JSON.parse(readFileSync(join(dataDir, 'postgres.json'), 'utf8')) as Record;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Error(`${join(dataDir, 'postgres.json')} cannot be read: ${(err as Error).message}`);
  }
}

/** Written before the cluster is made: a cluster without its password would be lost. */
function makeRecord(dataDir: string): Record {
  const beside = join(dataDir, 'postgres');
  if (existsSync(beside))
    throw new Error(`${beside} is there without its ${beside}.json: move one away or bring the other back`);
  const cluster =
    isRoot() && !anyoneReaches(dataDir) ? join(mkdtempSync(join(clustersFolder(), 'data-')), 'postgres') : 'postgres';
  if (cluster !== 'postgres') chmodSync(resolve(cluster, '..'), 0o755);
  try {
    writeFileSync(`${beside}.json`, JSON.stringify({ cluster, password: randomBytes(16).toString('hex') }), {
      mode: 0o600,
      flag: 'wx',
    });
  } catch (err) {
    // Of two that start at the same moment, the first one's word holds.
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
  }
  return readRecord(dataDir)!;
}

/** Made under a name of its own and renamed: a cluster that is there is a whole one. */
async function initialise(
  binaries: PostgresBinaries,
  folder: string,
  password: string,
  careless: boolean,
): Promise<void> {
  const making = `${folder}.new-${process.pid}`;
  const passwordFile = `${making}.password`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  try {
    if (isRoot()) for (const path of [making, passwordFile]) chownSync(path, NOBODY.uid, NOBODY.gid);
    await promisify(execFile)(
      binaries.initdb,
      [
        ...['-D', making, '-U', USER, '-E', 'UTF8', '--locale=C', '--auth=scram-sha-256', `--pwfile=${passwordFile}`],
        '--no-instructions',
        ...(careless ? ['--no-sync'] : []),
      ],
      { env: { LC_ALL: 'C', TZ: 'UTC' }, cwd: '/', timeout: INITDB_TIMEOUT_MS, ...(isRoot() ? NOBODY : {}) },
    );
    renameSync(making, folder);
  } catch (err) {
    // Somebody else was faster: theirs is as good.
    if (!existsSync(join(folder, 'PG_VERSION'))) throw explained(err as NodeJS.ErrnoException & { stderr?: string });
  } finally {
    rmSync(making, { recursive: true, force: true });
    rmSync(passwordFile, { force: true });
  }
}

function explained(err: NodeJS.ErrnoException & { stderr?: string }): Error {
  // The file is there: what is missing is its loader.
  if (err.code === 'ENOENT') {
    return new Error(
      'the Postgres binaries do not run here (they need glibc): set DATABASE_URL to a Postgres of your own',
    );
  }
  const why = err.stderr?.trim() || err.message;
  if (/could not look up effective user/.test(why)) {
    return new Error('initdb refuses to run for a user without a name: start as another one, or set DATABASE_URL');
  }
  return new Error(`initdb failed: ${why}`);
}

function assertUsable(folder: string, binaries: PostgresBinaries): void {
  const owner = statSync(folder).uid;
  if (!isRoot() && process.getuid && owner !== process.getuid()) {
    throw new Error(`${folder} belongs to another user (uid ${owner}): start as that user, or with another DATA_DIR`);
  }
  const made = readFileSync(join(folder, 'PG_VERSION'), 'utf8').trim();
  if (made !== binaries.version.split('.')[0]) {
    throw new Error(`${folder} was made by Postgres ${made}, this is ${binaries.version}: use another DATA_DIR`);
  }
  const pid = runningPid(folder);
  if (pid !== null) throw new Error(`already running, pid ${pid}: another Postgres serves ${folder}`);
}

/** Lines of postmaster.pid, as Postgres documents them: 1 the pid, 8 the status. */
function lockLines(folder: string): string[] {
  try {
    return readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return [];
  }
}

function runningPid(folder: string): number | null {
  const pid = Number(lockLines(folder)[0]);
  return pid > 0 && isRunning(pid, folder) ? pid : null;
}

/** The pid of the Postgres that serves a DATA_DIR now, or null. */
export function postgresPid(dataDir: string): number | null {
  const record = readRecord(dataDir);
  return record && runningPid(resolve(dataDir, record.cluster));
}

async function launch(
  binaries: PostgresBinaries,
  folder: string,
  port: number,
  dataDir: string,
  temporary: string | undefined,
): Promise<ServerProcess> {
  const left = Number(lockLines(folder)[0]);
  // Postgres passes over the file of a dead server by itself, but not where its number is another process's by now.
  if (left > 0 && isAlive(left) && !isRunning(left, folder)) rmSync(join(folder, 'postmaster.pid'), { force: true });
  const settings = [
    ...[`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'timezone=UTC', 'log_timezone=UTC'],
    ...(temporary ? CARELESS : ['log_checkpoints=off']),
  ];
  // Root's server runs as whoever the cluster belongs to.
  const { uid, gid } = statSync(folder);
  const server = spawnServer({
    name: 'Postgres',
    file: binaries.postgres,
    args: ['-D', folder, ...settings.flatMap((setting) => ['-c', setting])],
    env: { LC_ALL: 'C', TZ: 'UTC' },
    user: isRoot() ? { uid, gid } : undefined,
    logFile: join(dataDir, 'postgres.log'),
    stopSignals: STOP_SIGNALS,
    temporaryFolder: temporary,
  });
  await server.waitUntil(() => {
    const lines = lockLines(folder);
    return Number(lines[0]) === server.pid && lines[7]?.trim() === 'ready';
  }, READY_TIMEOUT_MS);
  return server;
}
