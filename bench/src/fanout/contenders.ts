import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, spawnService } from '@candlewire/testkit';
import { cpuSecondsOf } from '../process-cpu';
import { type Audience, startAudience } from './audience';
import { type Market, openMarket } from './market';

const COLLECTOR = join(__dirname, 'collect-on-signal.js');

export const CONTENDERS = ['plain', 'socket.io', 'own', 'own, 50 ms'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** A gateway in a process of its own, its clients in another, and a market that nobody else hears. */
export interface Contender {
  readonly name: ContenderName;
  readonly port: number;
  readonly market: Market;
  readonly audience: Audience;
  cpuS(): number;
  rssBytes(): number;
  collectGarbage(): void;
  /** How many clients it has closed as too slow; 0 where it closes none. */
  slowCloses(): Promise<number>;
  stop(): Promise<void>;
}

interface Program {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<unknown>;
}

export async function startContender(
  name: ContenderName,
  servers: { postgresUrl: string; redisUrl: string },
): Promise<Contender> {
  const market = await openMarket(`fanout_${CONTENDERS.indexOf(name)}`, servers.postgresUrl, servers.redisUrl);
  const program = PROGRAMS[name](market, servers.redisUrl);
  const { pid, port, stop } = await program.catch(async (err: unknown) => {
    await market.close();
    throw err;
  });
  const audience = startAudience();
  await audience.use({ protocol: name === 'socket.io' ? 'socket.io' : 'json', port });
  return {
    name,
    port,
    market,
    audience,
    cpuS: () => cpuSecondsOf(pid),
    rssBytes: () => 1_024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]),
    collectGarbage: () => void process.kill(pid, 'SIGUSR2'),
    slowCloses: async () => (name.startsWith('own') ? slowClosesOf(port) : 0),
    async stop() {
      await audience.stop();
      await stop();
      await market.close();
    },
  };
}

async function slowClosesOf(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^candlewire_gateway_slow_closes_total (\d+)/m.exec(metrics)?.[1]);
}

type Start = (market: Market, redisUrl: string) => Promise<Program>;

const PROGRAMS: Readonly<Record<ContenderName, Start>> = {
  plain: peer('plain-gateway.js'),
  'socket.io': peer('socketio-gateway.js'),
  own: own(0),
  'own, 50 ms': own(50),
};

function peer(file: string): Start {
  return async ({ prefix }, redisUrl) => {
    const child = fork(join(__dirname, file), [redisUrl, prefix], { execArgv: ['--require', COLLECTOR] });
    const exited = once(child, 'exit');
    const [port] = (await Promise.race([
      once(child, 'message'),
      exited.then(() => Promise.reject(new Error(`${file} ended`))),
    ])) as [number];
    return {
      pid: child.pid!,
      port,
      stop() {
        child.kill();
        return exited;
      },
    };
  };
}

function own(flushMs: number): Start {
  return async ({ databaseUrl, prefix }, redisUrl) => {
    const port = await freePort();
    const service = spawnService('gateway', {
      NODE_OPTIONS: `--require "${COLLECTOR}"`,
      PORT: `${port}`,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      REDIS_PREFIX: prefix,
      LOG_LEVEL: 'error',
      WS_FLUSH_MS: `${flushMs}`,
      WS_MAX_PER_IP: '20000',
    });
    await service.up(async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok);
    // Thousands of clients are not waited for.
    const stop = () => {
      service.kill('SIGKILL');
      return service.exited;
    };
    return { pid: service.pid, port, stop };
  };
}
