import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import type { Logger } from '@candlewire/runtime';
import { temporaryFolder } from './folders';
import { findRedis, type RedisBinary } from './redis-binary';
import { isRunning, type KeptServer, keepServer, type ServerProcess, spawnServer } from './server-process';

const READY_TIMEOUT_MS = 60_000;
const ANSWER_MS = 1_000;
const STOP_SIGNALS = [
  { signal: 'SIGTERM', patienceMs: 15_000 },
  { signal: 'SIGKILL', patienceMs: 1_000 },
] as const;

export interface RedisServer extends KeptServer {
  readonly url: string;
  /** For people: how the server was found. */
  readonly how: string;
}

/**
 * Starts a real Redis on a free port of 127.0.0.1 behind a random password, which ends with this process however that
 * ends, and comes back on the same port where it ends before. What it holds is kept in `DATA_DIR/redis` (append-only
 * file, synced every second).
 *
 * @param dataDir null: nothing is kept
 * @param download whether a missing server may be fetched from the distribution's packages
 * @returns where there is no Redis to be had: why
 * @throws Error with a message for people: another server runs on the folder, or it cannot be read
 */
export async function startRedis(options: {
  dataDir: string | null;
  download: boolean;
  logger: Logger;
}): Promise<RedisServer | { readonly missing: string }> {
  const binary = await findRedis(options);
  if (typeof binary === 'string') return { missing: binary };
  const temporary = options.dataDir === null ? temporaryFolder() : undefined;
  const dataDir = resolve(options.dataDir ?? temporary!);
  const folder = join(dataDir, 'redis');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const pid = redisPid(dataDir);
    if (pid !== null) throw new Error(`already running, pid ${pid}: another Redis serves ${folder}`);
    const password = randomBytes(16).toString('hex');
    const server = await keepServer(
      'Redis',
      (port) => launch(binary, { port, password, dataDir, temporary }),
      options.logger,
    );
    return {
      // The user is named since redis-cli takes a nameless one at its word.
      url: `redis://default:${password}@127.0.0.1:${server.port}`,
      how: binary.how,
      ended: server.ended,
      stop: server.stop,
    };
  } catch (err) {
    if (temporary) rmSync(temporary, { recursive: true, force: true });
    throw err;
  }
}

/** The pid of the Redis that serves a DATA_DIR now, or null. */
export function redisPid(dataDir: string): number | null {
  try {
    const pid = Number(readFileSync(join(dataDir, 'redis', 'pid'), 'utf8'));
    return pid > 0 && isRunning(pid, '-server') ? pid : null;
  } catch {
    return null;
  }
}

async function launch(
  binary: RedisBinary,
  {
    port,
    password,
    dataDir,
    temporary,
  }: { port: number; password: string; dataDir: string; temporary: string | undefined },
): Promise<ServerProcess> {
  const folder = join(dataDir, 'redis');
  const config = [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${JSON.stringify(folder)}`,
    'save ""',
    `appendonly ${temporary ? 'no' : 'yes'}`,
    'daemonize no',
  ];
  const server = spawnServer({
    name: 'Redis',
    file: binary.file,
    // The configuration comes by standard input: on the command line everybody could read the password.
    args: ['-'],
    input: `${config.join('\n')}\n`,
    env: binary.env,
    logFile: join(dataDir, 'redis.log'),
    stopSignals: STOP_SIGNALS,
    temporaryFolder: temporary,
  });
  writeFileSync(join(folder, 'pid'), `${server.pid}\n`);
  await server.waitUntil(() => answers(port, password), READY_TIMEOUT_MS);
  return server;
}

/** Whether it answers a PING with PONG, which it does not while it still reads what it kept. */
function answers(port: number, password: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: ANSWER_MS });
    let text = '';
    const finish = (result: boolean) => {
      socket.destroy();
      done(result);
    };
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text.split('\r\n').length > 2) finish(text.includes('+PONG'));
    });
    socket.once('timeout', () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
  });
}
