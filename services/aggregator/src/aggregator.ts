import type { Bus } from '@candlewire/bus';
import type { Rules } from '@candlewire/candles';
import { type Channels, PARTITIONS } from '@candlewire/contracts';
import { type Logger, type Metrics, pause, silentMetrics } from '@candlewire/runtime';
import type { Claim, Store } from '@candlewire/store';
import { type AggregatorCounters, newCounters } from './counters';
import { registerMetrics } from './metrics';
import { Fenced } from './owner';
import { Partition } from './partition';
import { createRetention } from './retention';
import { Turns } from './turns';

export interface AggregatorDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly channels: Channels;
  readonly epoch: string;
  readonly rules: Rules;
  readonly logger: Logger;
  /** Default: none are told. */
  readonly metrics?: Metrics;
  /** Name of this owner among all: unique to the process's life. */
  readonly owner: string;
  readonly partitions?: number;
  readonly leaseMs?: number;
  readonly beatMs?: number;
  /** Days before the journal's current one whose minutes are kept; null or absent: all. */
  readonly retentionDays?: number | null;
}

/** A dead owner's partitions move after at most a lease and a beat. */
const LEASE_MS = 5_000;
const BEAT_MS = 1_000;
/** One computes while the other waits for Postgres. */
const LARGE_AT_ONCE = 2;

interface Held {
  readonly claim: Claim;
  readonly partition: Partition;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

export interface Aggregator {
  readonly counters: AggregatorCounters;
  /** Partitions held now. */
  held(): number[];
  /** Stops taking work, finishes what is held, gives the partitions back. */
  stop(): Promise<void>;
}

/**
 * Owns its share of the partitions and runs them. Any number of aggregators share them: each says every second that it
 * lives, takes what nobody holds up to its share, and gives back what is over it.
 */
export function createAggregator(deps: AggregatorDeps): Aggregator {
  const { store, logger, owner, partitions = PARTITIONS, leaseMs = LEASE_MS, beatMs = BEAT_MS } = deps;
  const counters = newCounters();
  const held = new Map<number, Held>();
  const timings = registerMetrics(deps.metrics ?? silentMetrics, {
    counters,
    behindMs: () => {
      const now = Date.now();
      return new Map([...held].map(([number, { partition }]) => [number, partition.behindMs(now)]));
    },
  });
  const large = new Turns(LARGE_AT_ONCE);
  const stopping = new AbortController();

  const fences = (): ReadonlyMap<number, number> =>
    new Map([...held].map(([partition, { claim }]) => [partition, claim.fence]));

  const retention = createRetention({ store, logger, counters, held: fences });

  function take(claim: Claim): void {
    const stop = new AbortController();
    const log = logger.child({ partition: claim.partition });
    const onHorizon = () => retention.moved(claim.partition);
    const own = { ...deps, logger: log, counters, timings, onHorizon, large };
    const partition = new Partition(claim, own, stop.signal);
    const ended = partition.run().catch(async (err) => {
      if (err instanceof Fenced) log.warn('partition lost to another owner');
      else if ((err as { retryable?: boolean }).retryable === true)
        log.warn('partition stopped, to be taken over anew', { err });
      else log.error('partition stopped, to be taken over anew', { err });
      // Else a beat has found it lost before.
      if (held.get(claim.partition)?.claim === claim) {
        held.delete(claim.partition);
        counters[err instanceof Fenced ? 'lost' : 'failed']++;
      }
      // Whoever is next need not wait for the lease; where this fails, the lease does it.
      await store
        .release(new Map([[claim.partition, claim.fence]]))
        .catch((cause) => log.debug('not released', { err: cause }));
    });
    held.set(claim.partition, { claim, partition, stop, ended });
  }

  /** What is held is not ours any more: it ends by itself, whoever holds it now. */
  function lose({ claim, stop }: Held): void {
    logger.warn('partition lost to another owner', { partition: claim.partition, fence: claim.fence });
    stop.abort();
    held.delete(claim.partition);
    counters.lost++;
  }

  async function giveBack(some: readonly Held[]): Promise<void> {
    for (const { stop } of some) stop.abort();
    await Promise.all(some.map(({ ended }) => ended));
    // Deleted after the end, so that no beat takes the same partition twice.
    for (const { claim } of some) if (held.get(claim.partition)?.claim === claim) held.delete(claim.partition);
    await store.release(new Map(some.map(({ claim }) => [claim.partition, claim.fence])));
  }

  async function beat(): Promise<void> {
    const alive = await store.beat(owner, leaseMs, fences());
    for (const [partition, one] of held) if (!alive.held.includes(partition)) lose(one);
    const share = Math.ceil(partitions / alive.owners);
    if (held.size > share) await giveBack([...held.values()].slice(share));
    else if (held.size < share) {
      const claims = await store.claim(owner, leaseMs, share - held.size);
      for (const claim of claims) {
        // A beat passes over the row that a commit holds: its lease may have run out, and then it is claimed from ourselves.
        const before = held.get(claim.partition);
        if (before !== undefined) lose(before);
        take(claim);
      }
      if (claims.length > 0)
        logger.info('partitions taken over', {
          partitions: claims.map(({ partition }) => partition),
          owners: alive.owners,
        });
    }
  }

  async function live(): Promise<void> {
    let lost = false;
    while (!stopping.signal.aborted) {
      try {
        await beat();
        if (lost) logger.info('store is back');
        lost = false;
      } catch (err) {
        if (!lost) logger.warn('store is away', { err });
        lost = true;
      }
      await pause(beatMs, stopping.signal);
    }
  }
  const living = Promise.all([live(), retention.run(stopping.signal)]);

  return {
    counters,
    held: () => [...held.keys()].sort((a, b) => a - b),
    stop: async () => {
      stopping.abort();
      await living;
      await giveBack([...held.values()]);
      await store.leave(owner);
    },
  };
}
