import { startPostgres, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { type BenchTable, median } from '../table';
import { CONTENDERS, type Contender, type ContenderName, startContender } from './contenders';
import {
  type BurstFigures,
  bursts,
  fill,
  type Latency,
  latency,
  type StallFigures,
  stall,
  steady,
  warmUp,
} from './scenarios';
import { CLIENTS, SYMBOLS_EACH } from './seats';

const ROUNDS = 3;
/** A window is for throughput: waiting is what it is. */
const WINDOWED: ContenderName = 'own, 50 ms';

interface Round {
  readonly burst: BurstFigures;
  readonly steadyPerCpuS: number;
  readonly latency: Latency | null;
}

interface Figures {
  readonly idleBytes: number;
  readonly rounds: readonly Round[];
  readonly stall: StallFigures | null;
}

/**
 * Redis to a thousand clients, each with 20 of a thousand symbols: the gateway against what one writes first, with ws and
 * with socket.io. Each is a process of its own; its CPU alone counts.
 */
export async function fanoutBench(names: readonly ContenderName[] = CONTENDERS): Promise<BenchTable> {
  if (process.platform !== 'linux') throw new Error('this benchmark reads CPU times from /proc, which only Linux has');
  const postgres = await startPostgres({ dataDir: null, logger: silentLogger });
  const redis = await startRedis({ dataDir: null, download: true, logger: silentLogger });
  const contenders: Contender[] = [];
  try {
    if ('missing' in redis) throw new Error(redis.missing);
    const idleBytes = new Map<Contender, number>();
    for (const name of names) {
      const contender = await startContender(name, { postgresUrl: postgres.url, redisUrl: redis.url });
      contenders.push(contender);
      idleBytes.set(contender, await fill(contender));
      await warmUp(contender);
    }
    const rounds = new Map<Contender, Round[]>(contenders.map((contender) => [contender, []]));
    for (let round = 0; round < ROUNDS; round++) await playRound(rotated(contenders, round), rounds);
    const figures = new Map<ContenderName, Figures>();
    for (const contender of contenders) {
      figures.set(contender.name, {
        idleBytes: idleBytes.get(contender)!,
        rounds: rounds.get(contender)!,
        stall: contender.name === WINDOWED ? null : await stall(contender),
      });
    }
    return tableOf(figures);
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
    if (!('missing' in redis)) await redis.stop();
    await postgres.stop();
  }
}

/** Scenario by scenario, so that what is compared lies close together. */
async function playRound(contenders: readonly Contender[], rounds: Map<Contender, Round[]>): Promise<void> {
  const burst = await each(contenders, bursts);
  const steadyPerCpuS = await each(contenders, steady);
  const quiet = await each(contenders, async (one) => (one.name === WINDOWED ? null : latency(one)));
  for (const [i, contender] of contenders.entries()) {
    rounds.get(contender)!.push({ burst: burst[i]!, steadyPerCpuS: steadyPerCpuS[i]!, latency: quiet[i]! });
  }
}

async function each<T>(contenders: readonly Contender[], act: (one: Contender) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const contender of contenders) results.push(await act(contender));
  return results;
}

function rotated<T>(values: readonly T[], by: number): T[] {
  const at = by % values.length;
  return [...values.slice(at), ...values.slice(0, at)];
}

type Cells = (string | number)[];

function tableOf(figures: ReadonlyMap<ContenderName, Figures>): BenchTable {
  const ofRounds = (name: ContenderName, value: (round: Round) => number | undefined): number[] =>
    (figures.get(name)?.rounds ?? []).map(value).filter((one) => one !== undefined);
  /** The median of each contender, and of the rounds' ratios of ours to the two others. */
  const perRound = (title: string, goal: string, value: (round: Round) => number | undefined): Cells => {
    const middles = CONTENDERS.map((name) => middle(ofRounds(name, value)));
    const times = (name: ContenderName, peer: ContenderName): string =>
      shown(middle(ofRounds(name, value).map((one, i) => one / ofRounds(peer, value)[i]!)));
    const ratios = [times('own', 'plain'), times('own', 'socket.io'), times(WINDOWED, 'plain')];
    return [title, ...middles.map((one) => (Number.isNaN(one) ? '' : one)), ...ratios, goal];
  };
  const once = (title: string, goal: string, value: (one: Figures) => string | number): Cells => [
    title,
    ...CONTENDERS.map((name) => (figures.has(name) ? value(figures.get(name)!) : '')),
    '',
    '',
    '',
    goal,
  ];
  const ofStall = (value: (one: StallFigures) => string | number) => (one: Figures) =>
    one.stall ? value(one.stall) : '';
  return {
    title: `Redis to ${CLIENTS.toLocaleString('en-US')} clients with ${SYMBOLS_EACH} of 1,000 symbols each, median of ${ROUNDS} rounds`,
    columns: ['', ...CONTENDERS, 'own / plain', 'own / socket.io', '50 ms / plain', 'goal'],
    rows: [
      perRound('minute burst: deliveries per CPU s', 'at least 6 and 6', (one) => one.burst.perCpuS),
      perRound('minute burst: last client served, ms', 'plain: at most 0.2', (one) => one.burst.lastMs),
      perRound('2,000 messages/s: deliveries per CPU s', 'at least 1.15; 50 ms: 2', (one) => one.steadyPerCpuS),
      perRound('500 messages/s: p50 ms', '', (one) => one.latency?.p50Ms),
      perRound('500 messages/s: p99 ms', 'plain: at most 1.5', (one) => one.latency?.p99Ms),
      once('idle connection, KB', 'at most 20', ({ idleBytes }) => idleBytes / 1_024),
      once(
        'clients stall: memory grows, for each, by MB',
        'at most 3',
        ofStall(({ grownBytes }) => grownBytes / 2 ** 20),
      ),
      once(
        '… while so many messages come for each',
        '',
        ofStall(({ messages }) => messages),
      ),
      once(
        '… their sockets take no more after s',
        '',
        ofStall(({ fullMs }) => fullMs / 1_000),
      ),
      once(
        '… they are closed, and all that waits for them dropped, after s',
        'at most 10 after that',
        ofStall(({ closedMs }) => (closedMs === null ? 'never' : closedMs / 1_000)),
      ),
      once(
        '… and cut off, where they have not heard of that, after s',
        '',
        ofStall(({ goneMs }) => (goneMs === null ? 'never' : goneMs / 1_000)),
      ),
      once(
        '… p99 of the others, times that before',
        'at most 1.5',
        ofStall(({ stalled, reading }) => stalled.p99Ms / reading.p99Ms),
      ),
    ],
    notes: [
      'plain: ws.send to each socket of a channel; socket.io: a room for each channel; own: WS_FLUSH_MS 0, and 50',
      'ratios: median of those within the rounds; each contender has clients, store and Redis prefix of its own, one runs at a time',
    ],
  };
}

const middle = (values: readonly number[]): number => (values.length > 0 ? median(values) : Number.NaN);

const shown = (ratio: number): string => (Number.isNaN(ratio) ? '' : `${ratio.toPrecision(3)}x`);
