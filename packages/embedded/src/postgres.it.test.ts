import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { Client } from 'pg';
import { type PostgresServer, startPostgres } from './postgres';

const asRoot = process.getuid?.() === 0 ? test : test.skip;

let dataDir: string;
const started: PostgresServer[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'candlewire-test-'));
  chmodSync(dataDir, 0o755);
});

afterEach(async () => {
  for (const server of started.splice(0)) await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(folder: string | null = dataDir): Promise<PostgresServer> {
  const server = await startPostgres({ dataDir: folder, logger: silentLogger });
  started.push(server);
  return server;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function pidOf(server: PostgresServer): number {
  return Number(readFileSync(join(server.folder, 'postmaster.pid'), 'utf8').split('\n')[0]);
}

test('data are kept from one start to the next, and the address opens with its password alone', async () => {
  const first = await start();
  await query(first.url, 'create table kept as select 42 as x');
  const other = new URL(first.url);
  other.password = 'guessed';
  await expect(query(other.href, 'select 1')).rejects.toThrow('password authentication failed');
  const pid = pidOf(first);
  await first.stop();
  expect(isAlive(pid)).toBe(false);

  const second = await start();
  expect(await query(second.url, "select x, current_setting('server_encoding') as encoding from kept")).toEqual([
    { x: 42, encoding: 'UTF8' },
  ]);
});

test('the pid file of a dead server, or one whose number is somebody else’s by now, is passed over', async () => {
  const first = await start();
  const lock = join(first.folder, 'postmaster.pid');
  const left = readFileSync(lock, 'utf8').split('\n').slice(1);
  await first.stop();
  for (const pid of [2 ** 22 - 3, process.pid]) {
    writeFileSync(lock, [pid, ...left].join('\n'));
    const next = await start();
    expect(await query(next.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await next.stop();
  }
});

test('a folder that a living server uses is refused by its pid, and the server goes on', async () => {
  const first = await start();
  await expect(start()).rejects.toThrow(`already running, pid ${pidOf(first)}`);
  expect(await query(first.url, 'select 1 as one')).toEqual([{ one: 1 }]);
});

test('a server that is killed comes back at its address with what was committed', async () => {
  const server = await start();
  await query(server.url, 'create table kept as select 42 as x');
  const pid = pidOf(server);
  process.kill(pid, 'SIGKILL');
  await waitFor(() => !isAlive(pid), { what: 'the server is dead' });
  const rows = await waitFor(() => query(server.url, 'select x from kept'), {
    timeoutMs: 30_000,
    what: 'it answers again',
  });
  expect(rows).toEqual([{ x: 42 }]);
  expect(pidOf(server)).not.toBe(pid);
});

test('a cluster of another Postgres version is refused by name', async () => {
  const server = await start();
  await server.stop();
  writeFileSync(join(server.folder, 'PG_VERSION'), '11\n');
  await expect(start()).rejects.toThrow(/was made by Postgres 11, this is 18/);
});

test('a temporary server leaves nothing behind', async () => {
  const server = await start(null);
  const pid = pidOf(server);
  await server.stop();
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(dirname(server.folder))).toBe(false);
});

test('servers end and temporary folders go when whoever started them is killed', async () => {
  // What is built runs here, as a process of its own that can be killed.
  const program = `
    const { startPostgres } = require(${JSON.stringify(join(__dirname, '../dist'))});
    const { silentLogger: logger } = require('@candlewire/runtime');
    startPostgres({ dataDir: null, logger }).then(({ folder }) => console.log(folder));`;
  const child = spawn(process.execPath, ['-e', program], { cwd: __dirname, stdio: ['ignore', 'pipe', 'inherit'] });
  let folder = '';
  child.stdout.on('data', (text: Buffer) => {
    folder += text.toString();
  });
  await waitFor(() => folder.endsWith('\n'), { timeoutMs: 30_000, what: 'the server is up' });
  folder = folder.trim();
  const pid = pidOf({ folder } as PostgresServer);
  expect(isAlive(pid)).toBe(true);
  child.kill('SIGKILL');
  await waitFor(() => !isAlive(pid), { what: 'the server has ended' });
  await waitFor(() => !existsSync(dirname(folder)), { what: 'its folder is gone' });
});

asRoot(
  'a DATA_DIR that the server’s user cannot reach keeps its cluster elsewhere, the same at each start',
  async () => {
    const hidden = join(dataDir, 'hidden');
    mkdirSync(hidden, { mode: 0o700 });
    const first = await start(join(hidden, 'data'));
    try {
      await query(first.url, 'create table kept (x int)');
      expect(first.folder.startsWith(hidden)).toBe(false);
      expect(execFileSync('stat', ['-c', '%a %u', first.folder]).toString().trim()).toBe('700 65534');
      await first.stop();
      const second = await start(join(hidden, 'data'));
      expect(second.folder).toBe(first.folder);
      expect(await query(second.url, 'select * from kept')).toEqual([]);
      await second.stop();
    } finally {
      rmSync(dirname(first.folder), { recursive: true, force: true });
    }
  },
);
