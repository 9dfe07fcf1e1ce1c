import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MINUTE_MS } from '@candlewire/contracts';
import { nowMs } from '../fanout/clock';
import { type BenchTable, median } from '../table';
import { sessionMinutes } from './exchange';
import { type Pipeline, startPipeline } from './pipeline';

const SYMBOLS = Array.from(
  { length: 10_000 },
  (_, i) =>
    `S${i
      .toString(26)
      .replace(/\d/g, (digit) => 'QRSTUVWXYZ'[Number(digit)]!)
      .toUpperCase()}`,
);
const ROUNDS = 5;
const FROM_MS = Date.UTC(2025, 5, 2, 14);
/** The bars of the first minute are out by then: the exchange sends them when it is told to, and not by itself. */
const CLOCK_MS = FROM_MS + MINUTE_MS + MINUTE_MS / 2;
const POLL_MS = 20;
const COMMIT_MS_MAX = 60_000;

const KINDS = {
  burstInASecond: 'over one second, a frame for each bar',
  burstAtOnce: 'as fast as they go, 500 bars to a frame',
} as const;
type Kind = keyof typeof KINDS;

interface Burst {
  readonly sentMs: number;
  readonly committedMs: number;
  readonly ingestorS: number;
  readonly aggregatorS: number;
}

/** The end of a minute in which everything trades: every symbol's bar within a second, by one stream through the SDK. */
export async function burstBench(): Promise<BenchTable> {
  const folder = await mkdtemp(join(tmpdir(), 'candlewire-bench-'));
  try {
    // Postgres may run as another user.
    await chmod(folder, 0o755);
    const pipeline = await startPipeline({ folder: join(folder, 'burst'), symbols: SYMBOLS, clockMs: CLOCK_MS });
    try {
      const [first, ...minutes] = sessionMinutes(FROM_MS, 1 + 2 * ROUNDS);
      // It makes every symbol's first candles.
      const cold = await burst(pipeline, 'burstInASecond', first!);
      const bursts: Record<Kind, Burst[]> = { burstInASecond: [], burstAtOnce: [] };
      // Its clock moves with what is sent at once, and would send again what was passed over.
      for (const [index, minute] of minutes.entries()) {
        const kind = index < ROUNDS ? 'burstAtOnce' : 'burstInASecond';
        bursts[kind].push(await burst(pipeline, kind, minute));
      }
      const { opened, closed } = await pipeline.exchange.standing();
      return tableOf(cold, bursts, opened - 1 + closed);
    } finally {
      await pipeline.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function burst({ exchange, db, cpuS }: Pipeline, kind: Kind, minuteMs: number): Promise<Burst> {
  const before = cpuS();
  const sending = exchange[kind]({ minuteMs });
  sending.catch(() => {});
  const stored = "select count(*) as n from candles where interval = '1m' and ts = $1 and symbol = any($2)";
  for (const until = Date.now() + COMMIT_MS_MAX; ; ) {
    const { rows } = await db.query<{ n: string }>(stored, [new Date(minuteMs), SYMBOLS]);
    const n = Number(rows[0]!.n);
    if (n === SYMBOLS.length) break;
    if (Date.now() > until) throw new Error(`${n} of ${SYMBOLS.length} bars within ${COMMIT_MS_MAX} ms`);
    await pause(POLL_MS);
  }
  const committedAt = nowMs();
  const { firstMs, lastMs } = await sending;
  const after = cpuS();
  return {
    sentMs: lastMs - firstMs,
    committedMs: committedAt - firstMs,
    ingestorS: after.ingestor - before.ingestor,
    aggregatorS: after.aggregator - before.aggregator,
  };
}

function tableOf(cold: Burst, bursts: Readonly<Record<Kind, readonly Burst[]>>, cuts: number): BenchTable {
  const row = (name: string, some: readonly Burst[]) => {
    const middle = (value: (one: Burst) => number) => median(some.map(value));
    const committed = some.map(({ committedMs }) => committedMs / 1_000);
    return [
      name,
      middle(({ sentMs }) => sentMs / 1_000),
      median(committed),
      Math.max(...committed),
      middle(({ ingestorS }) => ingestorS),
      middle(({ aggregatorS }) => aggregatorS),
    ];
  };
  return {
    title: `A minute of ${SYMBOLS.length.toLocaleString('en-US')} symbols from Alpaca's stream, median of ${ROUNDS}`,
    columns: ['', 'sent within s', 'committed after s', 'at most s', 'ingestor CPU s', 'aggregator CPU s'],
    rows: [
      row('the first one', [cold]),
      ...(Object.keys(KINDS) as Kind[]).map((kind) => row(KINDS[kind], bursts[kind])),
    ],
    notes: [
      `from the first bar's sending until the store shows the last (looked at every ${POLL_MS} ms); goal: 5 s`,
      `connections that were cut (the exchange cuts a client that is 1 MiB behind, with 407) or made anew: ${cuts}; goal: none`,
    ],
  };
}
