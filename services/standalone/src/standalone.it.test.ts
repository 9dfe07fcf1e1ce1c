import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { postgresPid, redisPid } from '@candlewire/embedded';
import { describeWithRedis, freePort, type SpawnedService, spawnService, waitFor } from '@candlewire/testkit';

const CSV = `symbol,timestamp,open,high,low,close,volume
AAPL,2025-11-03T14:30:00Z,100,101,99,100.5,1000
AAPL,2025-11-03T14:31:00Z,100.5,102,100,101,2000
`;

/** Everything is started, from the clusters of its servers on, on a machine that may be busy. */
const PATIENCE_MS = 60_000;
jest.setTimeout(3 * PATIENCE_MS);

let folder: string;
let file: string;
const spawned: SpawnedService[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'candlewire-test-'));
  chmodSync(folder, 0o755);
  file = join(folder, 'bars.csv');
  writeFileSync(file, CSV);
});

afterEach(async () => {
  for (const service of spawned.splice(0)) await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

function start(env: Readonly<Record<string, string>>): SpawnedService {
  const service = spawnService('standalone', {
    DATA_DIR: join(folder, 'data'),
    SOURCE: 'replay',
    REPLAY_FILE: file,
    REPLAY_SPEED: 'max',
    ...env,
  });
  spawned.push(service);
  return service;
}

async function ready(service: SpawnedService): Promise<string> {
  await service.up(() => service.stdout.includes('Ctrl-C stops'), PATIENCE_MS);
  return service.stdout;
}

async function candles(port: number): Promise<{ epoch: string; candles: { close: number; final: boolean }[] }> {
  const response = await fetch(`http://127.0.0.1:${port}/api/candles/AAPL`);
  return response.json() as Promise<{ epoch: string; candles: { close: number; final: boolean }[] }>;
}

describe('wrong configuration', () => {
  test('all problems are told in one report, without secrets or stack, exit code 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await waitFor(() => taken.listening);
    const { port } = taken.address() as { port: number };
    const service = start({
      PORT: String(port),
      METRICS_PORT: String(port),
      REPLAY_FILE: join(folder, 'missing.csv'),
      REPLAY_SPEED: 'fast',
      DATABASE_URL: `postgres://me:secret1@127.0.0.1:${await freePort()}/x`,
      REDIS_URL: `redis://:secret2@127.0.0.1:${await freePort()}`,
      LOG_LEVEL: 'loud',
    });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    for (const name of [
      'PORT',
      'METRICS_PORT',
      'REPLAY_FILE',
      'REPLAY_SPEED',
      'DATABASE_URL',
      'REDIS_URL',
      'LOG_LEVEL',
    ]) {
      expect(service.stderr.match(new RegExp(`- ${name}: `, 'g'))).toHaveLength(1);
    }
    expect(service.stderr).not.toMatch(/secret|^\s+at /m);
    taken.close();
  });

  test('a DATA_DIR that cannot be made is told by name', async () => {
    const service = start({ DATA_DIR: join(file, 'data'), PORT: '0' });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.stderr).toMatch(/- DATA_DIR: /);
  });
});

describeWithRedis('everything in one process', () => {
  test('serves what it replays, stops without a trace, and has it again at the next start', async () => {
    const port = await freePort();
    const dataDir = join(folder, 'data');
    const first = start({ PORT: String(port) });
    expect(await ready(first)).toContain(`http://127.0.0.1:${port}/api/candles/AAPL`);
    const before = await waitFor(
      async () => {
        const answer = await candles(port);
        return answer.candles.length === 2 && answer.candles.every(({ final }) => final) && answer;
      },
      { what: 'both candles are final' },
    );
    const pids = [postgresPid(dataDir)!, redisPid(dataDir)!];

    const beside = start({ PORT: String(await freePort()) });
    expect(await beside.exited).toEqual({ code: 1, signal: null });
    expect(beside.stderr).toContain(`already running: Postgres, pid ${pids[0]}; Redis, pid ${pids[1]}`);

    first.kill('SIGINT');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');

    const second = start({ PORT: String(port) });
    await ready(second);
    expect(await candles(port)).toMatchObject({ epoch: before.epoch, candles: before.candles });
  });

  test('servers end with a process that was killed', async () => {
    const dataDir = join(folder, 'data');
    const service = start({ PORT: '0' });
    await ready(service);
    const pids = [postgresPid(dataDir)!, redisPid(dataDir)!];
    service.kill('SIGKILL');
    await service.exited;
    await waitFor(() => postgresPid(dataDir) === null && redisPid(dataDir) === null, { what: 'both have ended' });
    expect(pids.every((pid) => pid > 0)).toBe(true);
  });

  test('the addresses of its servers are kept where only their owner reads them', async () => {
    const service = start({ PORT: '0' });
    await ready(service);
    for (const name of ['redis', 'postgres']) {
      const path = join(folder, `data/${name}.url`);
      expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${name}://\\w+:\\w+@127\\.0\\.0\\.1:\\d+`));
      expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    }
    await service.stop();
  });
});
