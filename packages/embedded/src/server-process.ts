import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@candlewire/runtime';
import { guard } from './guard';

const POLL_MS = 20;
const LOG_TAIL_LINES = 5;
const PORT_ATTEMPTS = 3;
const RESTART_PAUSE_MS = 500;
/** So many restarts in a row, none of which held for RESTART_FORGET_MS, and the server is given up. */
const RESTARTS_MAX = 5;
const RESTART_FORGET_MS = 30_000;

export interface ServerCommand {
  /** For messages: `Postgres`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Written to its standard input: what must not be seen in the list of processes. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  /** Its output, made anew at each start. */
  readonly logFile: string;
  /** Sent one after the other, each with its patience, until the server is gone. */
  readonly stopSignals: readonly { readonly signal: NodeJS.Signals; readonly patienceMs: number }[];
  /** Removed after the server has ended. */
  readonly temporaryFolder?: string | undefined;
}

export interface ServerProcess {
  readonly pid: number;
  /** Resolves with the reason when the server has ended, for whatever cause. */
  readonly ended: Promise<string>;
  /** Throws with the end of the log where the server ends before `isReady`, or is not ready in time. */
  waitUntil(isReady: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server in a session of its own, so that Ctrl-C reaches it through us alone and in our order. */
export function spawnServer(command: ServerCommand): ServerProcess {
  const log = openSync(command.logFile, 'w', 0o600);
  const child = spawn(command.file, command.args, {
    detached: true,
    stdio: [command.input === undefined ? 'ignore' : 'pipe', log, log],
    env: { ...command.env },
    cwd: '/',
    ...(command.user && { uid: command.user.uid, gid: command.user.gid }),
  });
  closeSync(log);
  const dismissGuard =
    child.pid === undefined ? null : guard(child.pid, command.stopSignals[0]!.signal, command.temporaryFolder);
  let isEnded = false;
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once('error', (err) => resolve(err.message));
  }).then(async (reason) => {
    isEnded = true;
    await dismissGuard?.();
    return reason;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(command.input);

  async function waitUntil(isReady: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
    const until = Date.now() + timeoutMs;
    while (!isEnded) {
      if (await isReady()) return;
      if (Date.now() > until) {
        await stop();
        throw new Error(`${command.name} was not ready within ${timeoutMs / 1000} s${logTail()}`);
      }
      await Promise.race([sleep(POLL_MS), ended]);
    }
    throw new Error(`${command.name} did not start (${await ended})${logTail()}`);
  }

  async function stop(): Promise<void> {
    for (const { signal, patienceMs } of command.stopSignals) {
      if (isEnded) break;
      child.kill(signal);
      const patience = new AbortController();
      await Promise.race([ended, sleep(patienceMs, undefined, { signal: patience.signal }).catch(() => {})]);
      patience.abort();
    }
    await ended;
    if (command.temporaryFolder) rmSync(command.temporaryFolder, { recursive: true, force: true });
  }

  function logTail(): string {
    const lines = readFileSync(command.logFile, 'utf8').trimEnd().split('\n');
    return `:\n${lines.slice(-LOG_TAIL_LINES).join('\n')}`;
  }

  return { pid: child.pid ?? 0, ended, waitUntil, stop };
}

export interface KeptServer {
  /** Resolves with the reason when the server has ended and will not come back. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts a server on a free port, and again on the same port whenever it ends unasked, so that its address stays good.
 * @param launch resolves when the server is ready on the port
 */
export async function keepServer(
  name: string,
  launch: (port: number) => Promise<ServerProcess>,
  logger: Logger,
): Promise<KeptServer & { readonly port: number }> {
  let stopping = false;
  const first = await onFreePort(launch);
  let current = first.server;

  async function keep(): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      const readyAt = Date.now();
      const reason = await current.ended;
      if (stopping) return reason;
      if (Date.now() - readyAt > RESTART_FORGET_MS) attempt = 1;
      if (attempt > RESTARTS_MAX) return reason;
      logger.error('server ended, starting it again', { server: name, reason });
      await sleep(RESTART_PAUSE_MS);
      try {
        if (!stopping) current = await launch(first.port);
      } catch (err) {
        logger.error('server did not start again', { server: name, err });
      }
    }
  }

  const ended = keep();
  return {
    port: first.port,
    ended,
    async stop() {
      stopping = true;
      // A restart that is under way is waited for: it has a new process to stop.
      while ((await Promise.race([ended, stopped()])) === null);
    },
  };

  async function stopped(): Promise<null> {
    await current.stop();
    await sleep(POLL_MS);
    return null;
  }
}

/** Between our look and the server's bind somebody else may have taken the port: then another one. */
async function onFreePort(
  launch: (port: number) => Promise<ServerProcess>,
): Promise<{ server: ServerProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { server: await launch(port), port };
    } catch (err) {
      if (attempt === PORT_ATTEMPTS || !/in use/.test((err as Error).message)) throw err;
    }
  }
}

/** A port of 127.0.0.1 that nobody has at this moment. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * Whether `pid` runs and its command line names `what`: after a crash of the machine a number in a file may be
 * somebody else's by now. Where command lines cannot be read, a running process counts.
 */
export function isRunning(pid: number, what: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(what);
  } catch (err) {
    return process.platform !== 'linux' || (err as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
