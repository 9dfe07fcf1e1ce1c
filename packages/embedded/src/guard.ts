import { spawn } from 'node:child_process';

/**
 * The guard's program. It waits for the end of its standard input, which comes when the process that started it is gone,
 * however it went, and then ends the server and removes its folder.
 */
const PROGRAM = `
const [pid, signal, folder] = process.argv.slice(1);
const kill = (name) => { try { return process.kill(Number(pid), name); } catch { return false; } };
const end = () => {
  kill(signal);
  const until = Date.now() + 20000;
  setInterval(() => {
    if (kill(0) && Date.now() < until) return;
    kill('SIGKILL');
    if (folder) require('node:fs').rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    process.exit();
  }, 50);
};
process.stdin.once('close', end).resume();
`;

/**
 * Sees to it that the process `pid` does not outlive this one, not even where this one is killed: a small process of its
 * own session holds a pipe from here. `folder` (empty: none) is removed after the server has ended.
 * @returns a function that sends the guard away, to be called when the server has ended
 */
export function guard(pid: number, signal: NodeJS.Signals, folder = ''): () => Promise<void> {
  const child = spawn(process.execPath, ['-e', PROGRAM, '--', String(pid), signal, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: {},
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  child.unref();
  child.stdin.on('error', () => {});
  return async () => {
    child.ref();
    child.kill('SIGKILL');
    await exited;
  };
}
