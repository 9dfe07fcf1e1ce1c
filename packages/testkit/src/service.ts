import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { guard } from '@candlewire/embedded';
import { waitFor } from './wait-for';

const ROOT = join(__dirname, '../../..');
/** Of each stream the newest part is kept. */
const OUTPUT_CHARS_MAX = 1_000_000;

export interface SpawnedService {
  readonly pid: number;
  /** What it has written so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves when it has ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Waits until `isUp` gives true (e.g. a port answers, a line was logged); fails at once, with its output, where it ends before. */
  up(isUp: (service: SpawnedService) => boolean | Promise<boolean>, timeoutMs?: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM (or nothing, where it has ended) and waits; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/**
 * Runs `services/<name>/dist/main.js` as a process of its own. It sees `env` and nothing of this process's environment
 * but the PATH. The services must have been built (`npm run build`; `npm test` does it).
 */
export function spawnService(name: string, env: Readonly<Record<string, string>>): SpawnedService {
  const main = join(ROOT, 'services', name, 'dist', 'main.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: npm run build`);
  return spawnProgram(name, main, env);
}

/** The same with any program of node's. @param name for messages @param file absolute path */
export function spawnProgram(name: string, file: string, env: Readonly<Record<string, string>>): SpawnedService {
  const child = spawn(process.execPath, [file], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return watched(name, child);
}

function watched(name: string, child: ChildProcess): SpawnedService {
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.setEncoding('utf8').on('data', (text: string) => {
      output[stream] = (output[stream] + text).slice(-OUTPUT_CHARS_MAX);
    });
  }
  const dismissGuard = guard(child.pid!, 'SIGKILL');
  let ended: { code: number | null; signal: NodeJS.Signals | null } | null = null;
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => {
      ended = { code, signal };
      void dismissGuard().then(() => resolve({ code, signal }));
    });
  });
  const service: SpawnedService = {
    pid: child.pid!,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    exited,
    async up(isUp, timeoutMs = 30_000) {
      await waitFor(async () => ended !== null || (await isUp(service)), { timeoutMs, what: `${name} is up` });
      if (ended !== null)
        throw new Error(`${name} ended (${JSON.stringify(ended)}):\n${output.stderr}${output.stdout}`);
    },
    kill: (signal) => void child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      return (await exited).code;
    },
  };
  return service;
}
