import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { median } from '../table';
import { nowMs } from './clock';
import type { Contender } from './contenders';
import type { Arrivals } from './load';
import { type PublishedAt, publishAtRate, streamHot } from './pace';
import { BURST_DELIVERIES, SEATS, SYMBOLS } from './seats';

const BURSTS = 10;
const STEADY_PER_S = 2_000;
const STEADY_MESSAGES = 6_000;
const QUIET_PER_S = 500;
const QUIET_MESSAGES = 1_000;

const WARM_UP_CLIENTS = 200;
/** Within it memory settles after many clients came or went. */
const SETTLE_MS = 500;
/** What the first finds to be garbage may hold more that only the next can have. */
const COLLECTIONS = 3;
const WARM_UP_BURSTS_MAX = 5;
const WARM_UP_MS_MAX = 5_000;

const HOT = 'HOT';
const HOT_PER_S = 5_000;
const HOT_LOT = 250;
/** Several, since the memory of a process moves by some megabytes on its own. */
const READERS = 8;
const STALL_MS_MIN = 6_000;
const STALL_MESSAGES = (STALL_MS_MIN / 1_000) * QUIET_PER_S;
const GONE_MS_MAX = 30_000;
const READING_MS = 15_000;
const GONE_POLL_MS = 50;
/** Seldom, since the answer takes memory of its own. */
const CLOSED_POLL_MS = 500;

/** Opens all clients. @returns bytes that each takes while nothing is sent */
export async function fill({ audience, collectGarbage, rssBytes }: Contender): Promise<number> {
  const settled = async (): Promise<number> => {
    for (let i = 0; i < COLLECTIONS; i++) {
      collectGarbage();
      await pause(SETTLE_MS);
    }
    return rssBytes();
  };
  // What the first clients cost once: compiled code, channels, a heap that has grown.
  await audience.open({ symbols: SEATS.slice(0, WARM_UP_CLIENTS) });
  await audience.close();
  await pause(SETTLE_MS);
  const before = await settled();
  await audience.open({ symbols: SEATS });
  return ((await settled()) - before) / SEATS.length;
}

/** Bursts until one has reached everybody, and some more. */
export async function warmUp(contender: Contender): Promise<void> {
  for (let left = WARM_UP_BURSTS_MAX; ; left--) {
    const reached = burst(contender).then(
      () => true,
      // One that was given up for the next.
      () => false,
    );
    if (await Promise.race([reached, pause(WARM_UP_MS_MAX, false)])) break;
    const count = await contender.audience.count();
    if (left === 0) throw new Error(`${contender.name}: ${count} of ${BURST_DELIVERIES} deliveries`);
  }
  await burst(contender);
}

/** @returns ms from the first message's publishing until the last client had its last */
async function burst({ market, audience }: Contender): Promise<number> {
  const messages = await market.commit(SYMBOLS);
  await audience.expect({ deliveries: BURST_DELIVERIES, traced: false });
  const begin = nowMs();
  await market.publish(messages);
  return (await audience.arrived()).lastAtMs - begin;
}

export interface BurstFigures {
  readonly perCpuS: number;
  readonly lastMs: number;
}

/** A minute's end: every symbol's candle at once; the next when the last client has the last one. */
export async function bursts(contender: Contender): Promise<BurstFigures> {
  const before = contender.cpuS();
  const lastMs: number[] = [];
  for (let i = 0; i < BURSTS; i++) lastMs.push(await burst(contender));
  return { perCpuS: (BURSTS * BURST_DELIVERIES) / (contender.cpuS() - before), lastMs: median(lastMs) };
}

/** @returns deliveries per second of CPU at 40,000 deliveries a second */
export async function steady(contender: Contender): Promise<number> {
  const deliveries = (STEADY_MESSAGES / SYMBOLS.length) * BURST_DELIVERIES;
  await contender.audience.expect({ deliveries, traced: false });
  const before = contender.cpuS();
  await publishAtRate(contender.market, STEADY_PER_S, STEADY_MESSAGES);
  await contender.audience.arrived();
  return deliveries / (contender.cpuS() - before);
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** From publishing to each client, at 10,000 deliveries a second. */
export async function latency({ market, audience }: Contender, messages = QUIET_MESSAGES): Promise<Latency> {
  await audience.expect({ deliveries: (messages / SYMBOLS.length) * BURST_DELIVERIES, traced: true });
  const publishedAt = await publishAtRate(market, QUIET_PER_S, messages);
  return latencyOf(await audience.arrived(), publishedAt);
}

function latencyOf({ ids, atMs }: Arrivals, publishedAt: PublishedAt): Latency {
  const sorted = atMs.map((at, i) => at - publishedAt.get(ids[i]!)!).sort();
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

export interface StallFigures {
  /** Of each of them, beyond the most that the gateway took while they read. */
  readonly grownBytes: number;
  /** Until the last of their sockets took no more. */
  readonly fullMs: number;
  /** Until the gateway had closed all of them: from then on nothing is kept for them but sockets; null: it never did. */
  readonly closedMs: number | null;
  /** Until their sockets were gone, too; null: they never were. */
  readonly goneMs: number | null;
  /** For each of them. */
  readonly messages: number;
  /** What the others saw while they read, and while they did not. */
  readonly reading: Latency;
  readonly stalled: Latency;
}

/** Some more clients have a busy subscription, and then stop reading. */
export async function stall(contender: Contender): Promise<StallFigures> {
  const { audience, market } = contender;
  const ports = await audience.openReaders({ symbols: [HOT], count: READERS });
  const hot = streamHot(market, HOT, HOT_PER_S, HOT_LOT);
  try {
    contender.collectGarbage();
    // As long as what it is compared with, since garbage comes and goes.
    const watchedReading = watch(contender, ports, contender.name === 'own' ? READING_MS : STALL_MS_MIN);
    const reading = await latency(contender, STALL_MESSAGES);
    const { peakBytes: usualBytes } = await watchedReading;
    contender.collectGarbage();
    const publishedBefore = hot.published();
    await audience.stall();
    // Those that have no limit need not be watched for long.
    const watchedStalled = watch(contender, ports, contender.name === 'own' ? GONE_MS_MAX : STALL_MS_MIN);
    const stalled = await latency(contender, STALL_MESSAGES);
    const { peakBytes, fullMs, closedMs, goneMs } = await watchedStalled;
    const messages = hot.published() - publishedBefore;
    return { grownBytes: (peakBytes - usualBytes) / READERS, fullMs, closedMs, goneMs, messages, reading, stalled };
  } finally {
    await hot.stop();
    await audience.closeReaders();
  }
}

interface Watched {
  readonly peakBytes: number;
  readonly fullMs: number;
  readonly closedMs: number | null;
  readonly goneMs: number | null;
}

/** Follows the gateway's memory for so long, or until it has let go of the clients. */
async function watch(contender: Contender, clientPorts: readonly number[], forMs: number): Promise<Watched> {
  const { rssBytes, port, slowCloses } = contender;
  const closes = await slowCloses();
  const begin = nowMs();
  let askedAt = begin;
  let peakBytes = 0;
  let fullMs = 0;
  let closedMs: number | null = null;
  let queued = '';
  for (;;) {
    if (closedMs === null && nowMs() - askedAt > CLOSED_POLL_MS) {
      askedAt = nowMs();
      if ((await slowCloses()) >= closes + clientPorts.length) closedMs = nowMs() - begin;
    }
    peakBytes = Math.max(peakBytes, rssBytes());
    const sinceMs = nowMs() - begin;
    const held = queuesHeld(port, clientPorts);
    if (held === '') return { peakBytes, fullMs, closedMs, goneMs: sinceMs };
    // Closing empties none: what changes is still being filled, or gone.
    if (held !== queued && closedMs === null) fullMs = sinceMs;
    queued = held;
    if (sinceMs > forMs) return { peakBytes, fullMs, closedMs, goneMs: null };
    await pause(GONE_POLL_MS);
  }
}

/**
 * What the kernel holds of connections on the gateway's end, as it shows it; those left out that the gateway has closed,
 * which then belong to no process.
 */
function queuesHeld(port: number, clientPorts: readonly number[]): string {
  const hex = (n: number) => n.toString(16).toUpperCase().padStart(4, '0');
  const remotes = new Set(clientPorts.map(hex));
  const held: string[] = [];
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, remote, , queues, , , , , inode] = line.trim().split(/\s+/);
    if (!local?.endsWith(`:${hex(port)}`) || !remotes.has(remote!.slice(-4))) continue;
    if (inode !== '0') held.push(`${remote} ${queues}`);
  }
  return held.join();
}
