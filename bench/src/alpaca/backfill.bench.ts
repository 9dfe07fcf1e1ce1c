import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MINUTE_MS, toIso } from '@candlewire/contracts';
import { startPostgres } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { startAudience } from '../fanout/audience';
import { type Cost, replay } from '../replay.bench';
import { type BenchTable, median } from '../table';
import { fullMarket, sessionMinutes } from './exchange';
import { type Pipeline, startPipeline } from './pipeline';

/** Symbols that are backfilled, those that are backfilled while clients watch, and those that they watch. */
const BACKFILLED = names('BK', 10);
const BESIDE = names('BS', 10);
const WATCHED = names('LV', 20);
/** Of each symbol in each round. */
const ROUND_MINUTES = [15_000, 15_000, 15_000] as const;
const BESIDE_MINUTES = 10_000;
const FROM_MS = Date.UTC(2025, 0, 6, 9);

const CLIENTS = 20;
const LIVE_PER_S = 100;
const LIVE_MINUTES = 120;
const LIVE_FROM_MS = Date.UTC(2025, 5, 2, 14);

const REPORT_POLL_MS = 200;
const BACKFILL_MS_MAX = 300_000;

type Part = Cost & { readonly parts: string };

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Live {
  readonly before: Latency;
  readonly during: Latency;
  readonly after: Latency;
  /** Bars that the backfill stored per second, during. */
  readonly storedPerS: number;
}

/**
 * History fetched page by page through the SDK, ordered and committed by the real processes, against the same bars from a
 * file; and what somebody who watches other symbols notices of it.
 */
export async function backfillBench(roundMinutes: readonly number[] = ROUND_MINUTES): Promise<BenchTable> {
  const folder = await mkdtemp(join(tmpdir(), 'candlewire-bench-'));
  try {
    // Postgres may run as another user.
    await chmod(folder, 0o755);
    const filled: Part[] = [];
    const replayed: Part[] = [];
    let live: Live | null = null;
    for (const [round, each] of roundMinutes.entries()) {
      const minutes = sessionMinutes(FROM_MS, each);
      replayed.push(await replayRound(join(folder, `replay-${round}`), minutes));
      const pipeline = await startPipeline({
        folder: join(folder, `backfill-${round}`),
        symbols: [...BACKFILLED, ...BESIDE, ...WATCHED],
      });
      try {
        filled.push(await backfillRound(pipeline, minutes));
        if (round === roundMinutes.length - 1) live = await liveRound(pipeline);
      } finally {
        await pipeline.stop();
      }
    }
    return tableOf(roundMinutes, filled, replayed, live!);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function replayRound(folder: string, minutes: readonly number[]): Promise<Part> {
  const postgres = await startPostgres({ dataDir: folder, logger: silentLogger });
  try {
    const file = `${folder}.csv`;
    await writeBars(file, minutes);
    return await replay(file, postgres.url, BACKFILLED.length * minutes.length);
  } finally {
    await postgres.stop();
  }
}

/** The bars that the exchange has, in the order in which a feed would have delivered them. */
async function writeBars(file: string, minutes: readonly number[]): Promise<void> {
  const market = fullMarket(BACKFILLED);
  const out = createWriteStream(file);
  out.write('symbol,timestamp,open,high,low,close,volume,trade_count,vwap\n');
  for (const minute of minutes) {
    const time = toIso(minute);
    let lines = '';
    for (const symbol of BACKFILLED) {
      const { open, high, low, close, volume, tradeCount, vwap } = market.first(symbol, minute)!;
      lines += `${symbol},${time},${open},${high},${low},${close},${volume},${tradeCount},${vwap}\n`;
    }
    if (!out.write(lines)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
}

async function backfillRound(pipeline: Pipeline, minutes: readonly number[]): Promise<Part> {
  const begun = process.hrtime.bigint();
  await backfill(pipeline, BACKFILLED, minutes);
  const wallS = Number(process.hrtime.bigint() - begun) / 1e9;
  await isComplete(pipeline, BACKFILLED, minutes);
  const { ingestor, aggregator } = pipeline.cpuS();
  const parts = `ingestor ${ingestor.toFixed(1)} s, aggregator ${aggregator.toFixed(1)} s`;
  return { wallS, cpuS: ingestor + aggregator, parts };
}

/** Asks for it as a gateway does; resolves when the store says that all of it is committed. */
async function backfill({ store }: Pipeline, symbols: readonly string[], minutes: readonly number[]): Promise<void> {
  const span = { from: minutes[0]!, to: minutes.at(-1)! + MINUTE_MS };
  const id = await store.requestBackfill(symbols.join(), symbols, span);
  for (const until = Date.now() + BACKFILL_MS_MAX; ; ) {
    const { finishedAt, reason } = (await store.backfill(id!))!;
    if (reason !== null) throw new Error(`the backfill failed: ${reason}`);
    if (finishedAt !== null) return;
    if (Date.now() > until) throw new Error(`no backfill within ${BACKFILL_MS_MAX} ms`);
    await pause(REPORT_POLL_MS);
  }
}

/** Every minute is stored, and every candle final. */
async function isComplete({ db }: Pipeline, symbols: readonly string[], minutes: readonly number[]): Promise<void> {
  const count = `select count(*) filter (where interval = '1m') as minutes, count(*) filter (where not final) as open
    from candles where symbol = any($1)`;
  await waitFor(
    async () => {
      const [found] = (await db.query<{ minutes: string; open: string }>(count, [symbols])).rows;
      return Number(found!.minutes) === symbols.length * minutes.length && Number(found!.open) === 0;
    },
    { timeoutMs: 60_000, what: 'every minute is stored and final' },
  );
}

/** Clients that watch symbols of which bars come all the time: before, during and after a backfill of others. */
async function liveRound(pipeline: Pipeline): Promise<Live> {
  const audience = startAudience();
  try {
    await audience.use({ protocol: 'json', port: await pipeline.startGateway() });
    await audience.open({ symbols: Array.from({ length: CLIENTS }, () => WATCHED) });
    const minutes = sessionMinutes(LIVE_FROM_MS, 4 * LIVE_MINUTES);
    let part = 0;
    const latency = async (): Promise<Latency> => {
      await audience.expect({ deliveries: CLIENTS * WATCHED.length * LIVE_MINUTES, traced: true });
      const some = minutes.slice(part * LIVE_MINUTES, ++part * LIVE_MINUTES);
      const sentAt = await pipeline.exchange.trickle({ symbols: WATCHED, minutes: some, perS: LIVE_PER_S });
      const { ids, atMs } = await audience.arrived();
      return latencyOf(atMs.map((at, i) => at - sentAt[ids[i]!]!));
    };
    // What is done for the first time takes longer.
    await latency();
    const before = await latency();
    const beside = { isOver: false };
    const filling = backfill(pipeline, BESIDE, sessionMinutes(FROM_MS, BESIDE_MINUTES)).then(() => {
      beside.isOver = true;
    });
    filling.catch(() => {});
    const stored = async () => {
      const count = "select count(*) from candles where symbol = any($1) and interval = '1m'";
      return Number((await pipeline.db.query<{ count: string }>(count, [BESIDE])).rows[0]!.count);
    };
    await waitFor(async () => (await stored()) > 0, { timeoutMs: 30_000, what: 'the first bars of the backfill' });
    const begin = { bars: await stored(), ms: performance.now() };
    const during = await latency();
    if (beside.isOver) throw new Error('the backfill was over before the clients had been watched for long enough');
    const storedPerS = ((await stored()) - begin.bars) / ((performance.now() - begin.ms) / 1_000);
    await filling;
    return { before, during, after: await latency(), storedPerS };
  } finally {
    await audience.stop();
  }
}

function latencyOf(values: Float64Array): Latency {
  const sorted = values.sort();
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

function tableOf(
  roundMinutes: readonly number[],
  filled: readonly Part[],
  replayed: readonly Part[],
  { before, during, after, storedPerS }: Live,
): BenchTable {
  const bars = roundMinutes.map((each) => BACKFILLED.length * each);
  const perCpuS = (costs: readonly Part[]) => costs.map(({ cpuS }, round) => bars[round]! / cpuS);
  const ratios = perCpuS(filled).map((rate, round) => rate / perCpuS(replayed)[round]!);
  const ratio = (name: string, { p50Ms, p99Ms }: Latency) => [
    name,
    '',
    '',
    '',
    `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms: ${(p99Ms / before.p99Ms).toFixed(2)}x of before`,
  ];
  const rounds = bars.flatMap((count, round) => [
    [
      `backfill of ${count.toLocaleString('en-US')} bars`,
      filled[round]!.wallS,
      filled[round]!.cpuS,
      perCpuS(filled)[round]!,
      filled[round]!.parts,
    ],
    [
      'replay of the same',
      replayed[round]!.wallS,
      replayed[round]!.cpuS,
      perCpuS(replayed)[round]!,
      replayed[round]!.parts,
    ],
  ]);
  return {
    title: 'Backfill from Alpaca against replay of a file: CPU of ingestor and aggregator',
    columns: ['', 'wall s', 'CPU s', 'bars per CPU s', ''],
    rows: [
      ...rounds,
      [
        'backfill / replay, median of the rounds',
        '',
        '',
        median(ratios),
        `at least 0.8; ${ratios.map((one) => one.toFixed(2)).join(', ')}`,
      ],
      ratio('clients of other symbols, before', before),
      ratio(`the same during a backfill of ${storedPerS.toFixed(0)} bars/s, p99 at most 1.5x`, during),
      ratio('the same after it', after),
    ],
    notes: [
      'CPU: from the start of the processes on; wall: replay until all is final, backfill until it is told to be finished, which takes some s more',
      `clients: ${CLIENTS}, each with ${WATCHED.length} symbols of which ${LIVE_PER_S} bars come in a second, from the exchange's sending to the client`,
    ],
  };
}

function names(prefix: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `${prefix}${String.fromCharCode(65 + Math.floor(i / 26))}${String.fromCharCode(65 + (i % 26))}`,
  );
}
