// The commands of package.json. Node's built-ins alone: the first command on a fresh clone runs before anything is installed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import Module from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 20;
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const INSTALLED = 'node_modules/.candlewire-installed';
const BUILT = 'node_modules/.candlewire-built';
const TSC = 'node_modules/typescript/bin/tsc';
const JEST = 'node_modules/jest/bin/jest.js';
const BIOME = 'node_modules/@biomejs/biome/bin/biome';

/** How often a program looks whether the npm that runs it is still there. */
const PARENT_POLL_MS = 500;

const COMMANDS = {
  start: (args) => program('services/standalone/dist/main.js', args),
  'start:ingestor': (args) => program('services/ingestor/dist/main.js', args),
  'start:aggregator': (args) => program('services/aggregator/dist/main.js', args),
  'start:gateway': (args) => program('services/gateway/dist/main.js', args),
  'db:migrate': (args) => program('packages/store/dist/migrate-main.js', args),
  bench: (args) => program('bench/dist/main.js', args),
  smoke: (args) => node(['scripts/smoke.mjs', ...args]),
  backfill: (args) => node(['scripts/backfill.mjs', ...args]),
  rebuild: (args) => node(['scripts/rebuild.mjs', ...args]),
  build: (args) => node([TSC, '-b', ...args]),
  test,
  check,
  format: (args) => node([BIOME, 'check', '--write', ...args]),
};

/** Something went wrong that has been told already. */
class Failed extends Error {
  constructor(exitCode) {
    super();
    this.exitCode = exitCode;
  }
}

async function test(args) {
  await build();
  await node([JEST, ...args]);
}

/** Types and lint are both told before either ends it. */
async function check(args) {
  const results = await Promise.allSettled([
    node([TSC, '-p', 'tsconfig.check.json']),
    node([BIOME, 'check', '--error-on-warnings']),
  ]);
  const failure = results.find(({ status }) => status === 'rejected');
  if (failure) throw failure.reason;
  await test(args);
}

/** Runs a built program in this very process: no second one that a signal could miss. */
async function program(file, args) {
  await build();
  if (!existsSync(file)) throw new Error(`${file} is missing although everything is built`);
  if (process.env.npm_lifecycle_event) endWithParent();
  process.argv = [process.argv[0], join(ROOT, file), ...args];
  Module.runMain();
}

/** A killed npm passes no signal on: its program would go on without anybody to stop it. */
function endWithParent() {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, PARENT_POLL_MS);
  timer.unref();
}

/** Installs through the exact pnpm of package.json, where the lockfile is another than the one last installed from. */
async function install() {
  const { packageManager } = JSON.parse(readFileSync('package.json', 'utf8'));
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`);
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(file));
  const wanted = hash.digest('hex');
  if (existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === wanted) return;
  process.stderr.write('Installing dependencies (once)…\n');
  const home = usableHome();
  const flags = ['install', '--frozen-lockfile', '--config.confirm-modules-purge=false', '--reporter=append-only'];
  try {
    await run('npx', ['-y', '--loglevel=error', packageManager, ...flags], {
      // Standard output belongs to the command that was asked for.
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32',
      env: { ...process.env, npm_config_update_notifier: 'false', ...home.env },
    });
  } finally {
    home.remove();
  }
  writeFileSync(INSTALLED, wanted);
}

/** npm and pnpm keep caches in the home. Where that cannot be written they get one that lasts as long as they run. */
function usableHome() {
  const cache = process.env.npm_config_cache || join(homedir(), '.npm');
  if (isWritable(homedir()) && isWritable(cache)) return { env: {}, remove: () => {} };
  const folder = mkdtempSync(join(tmpdir(), 'candlewire-home-'));
  return {
    env: { HOME: folder, npm_config_cache: join(folder, '.npm') },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function isWritable(folder) {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** tsc looks through everything itself, which takes seconds: it is only asked where a source is newer than the last build. */
async function build() {
  const projects = JSON.parse(readFileSync('tsconfig.json', 'utf8')).references.map(({ path }) => path);
  const whole = projects.every((project) => existsSync(join(project, 'dist')));
  const startedAt = new Date();
  if (whole && existsSync(BUILT)) {
    const sources = ['tsconfig.json', 'tsconfig.base.json', INSTALLED];
    // A project without sources of its own builds another one's once more.
    for (const project of projects)
      sources.push(...[join(project, 'tsconfig.json'), join(project, 'src')].filter(existsSync));
    const builtAtMs = statSync(BUILT).mtimeMs;
    if (sources.every((source) => newestMs(source) <= builtAtMs)) return;
  }
  process.stderr.write('Building…\n');
  // Its own notes outlive a dist that somebody removed.
  await node([TSC, '-b', ...(whole ? [] : ['--force'])]);
  writeFileSync(BUILT, '');
  utimesSync(BUILT, startedAt, startedAt);
}

/** Folders count as well: they change when a file goes. Tests are not built. */
function newestMs(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return path.endsWith('.test.ts') ? 0 : stat.mtimeMs;
  return readdirSync(path).reduce((newest, name) => Math.max(newest, newestMs(join(path, name))), stat.mtimeMs);
}

function node(args) {
  return run(process.execPath, args, { stdio: 'inherit' });
}

/** Resolves where the command succeeds. Signals are passed on, and it is waited for in any case. */
function run(file, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, options);
    const forward = (signal) => child.kill(signal);
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, forward);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const name of ['SIGINT', 'SIGTERM']) process.off(name, forward);
      if (code === 0) resolve();
      else reject(new Failed(code ?? (signal === 'SIGINT' ? 130 : 143)));
    });
  });
}

async function main([name, ...args]) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < NODE_MAJOR_MIN) throw new Error(`Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}.`);
  if (!Object.hasOwn(COMMANDS, name ?? '')) throw new Error(`Commands: ${Object.keys(COMMANDS).join(', ')}`);
  process.chdir(ROOT);
  await install();
  await COMMANDS[name](args);
}

main(process.argv.slice(2)).catch((err) => {
  if (!(err instanceof Failed)) process.stderr.write(`${err.message}\n`);
  process.exitCode = err.exitCode ?? 1;
});
