import { BusUnavailable, type Leader } from '@candlewire/bus';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { Time } from './time';

/** How long the lead may be nobody's after the death of whoever had it, but for {@link CAMPAIGN_MS}: 10 s together at most. */
export const LEASE_MS = 9_000;
/** How often a standby tries; of a lead that is let go it hears at once. */
const CAMPAIGN_MS = 500;
/** Between two tries while the bus is away. */
const ATTEMPT_MAX_MS = 1_000;
/** A lease is renewed so many times in its length: two may fail. */
const RENEWALS = 3;
/** This part of a lease before its end the leader counts it as lost, so that it has stopped by then. */
const MARGIN = 1 / 9;
/** After a renewal that failed. */
const RENEW_AGAIN_MS = 250;

export interface ElectionOptions {
  readonly leader: Leader;
  /** A name that no other process has. */
  readonly owner: string;
  readonly leaseMs: number;
  /** For waiting. */
  readonly time: Time;
  readonly logger: Logger;
  /** A clock that nobody sets, ms, and as fast as the bus's, which ends leases. */
  readonly elapsedMs?: () => number;
}

/** The time from taking the lead to losing it. */
export interface Term {
  /** For the journal. */
  readonly token: string;
  /** Aborted where the process is told to stop, or the lead is lost. */
  readonly signal: AbortSignal;
  /** The bus has refused the token: the term is over. */
  lose(reason: string): void;
  /**
   * Whether the lease still runs by this process's own clock: for what the bus does not check. Of one that was paused
   * this is false from the moment in which it wakes up, whatever its timers have to say.
   */
  isHeld(): boolean;
  /** Hands over, at once; to be called when nothing is written any more. What fails is left to the lease's end. */
  release(): Promise<void>;
}

export interface Election {
  /**
   * Tries to take the lead, calls `serve` when it has it, and begins anew when it was lost, until the signal is aborted.
   * `serve` ends when its term's signal is aborted; what it throws is thrown. Terms of one process never overlap.
   */
  run(serve: (term: Term) => Promise<void>, signal: AbortSignal): Promise<void>;
}

/**
 * Makes one of several processes the one that works.
 *
 * States: `standby` (tries now and then, does nothing else) → `leader` (serves, renews) → `standby` where its lease ran
 * out, was not renewed in time, or the journal refused its token. That no two of them write is for the token alone;
 * what is done here keeps the others from doing needless work, and from saying what nobody should hear.
 */
export function createElection(options: ElectionOptions): Election {
  const { leader, owner, leaseMs, time, logger, elapsedMs = () => performance.now() } = options;
  const logAway = boundedLog(logger, 'the bus is away', { first: 1 });
  const logNotRenewed = boundedLog(logger, 'the lead was not renewed', { first: 1 });
  /** Ends the present pause between two tries. */
  let next = new AbortController();

  /** @returns the moment from which the lease runs, at the earliest, as well */
  async function attempt(): Promise<{ token: string | null; from: number }> {
    const from = elapsedMs();
    return { token: await leader.acquire(owner, leaseMs), from };
  }

  function onFailure(err: unknown, failures: number): void {
    if (!(err instanceof BusUnavailable)) throw err;
    logAway({ err, attempt: failures });
  }

  /** @returns the token and the moment from which its lease runs at the latest; null where the signal was aborted */
  async function campaign(signal: AbortSignal): Promise<{ token: string; from: number } | null> {
    for (let told = false; !signal.aborted; ) {
      // Made before the try: what is let go while it is under way is tried for right after it.
      next = new AbortController();
      const { token, from } = await retry(attempt, { signal, maxMs: ATTEMPT_MAX_MS, onFailure });
      if (token !== null) return { token, from };
      if (!told) logger.info('standby: another ingestor leads');
      told = true;
      if (!signal.aborted) await time.pause(CAMPAIGN_MS, next.signal);
    }
    return null;
  }

  async function lead(
    { token, from }: { token: string; from: number },
    serve: (term: Term) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const ended = new AbortController();
    const over = new Promise<null>((resolve) => {
      ended.signal.addEventListener('abort', () => resolve(null), { once: true });
    });
    const runMs = leaseMs * (1 - MARGIN);
    let heldUntil = from + runMs;
    let why: string | null = null;
    let givenUp = false;
    const failures: unknown[] = [];
    const isHeld = () => !givenUp && why === null && elapsedMs() < heldUntil;
    const lose = (reason: string) => {
      if (givenUp) return;
      why ??= reason;
      ended.abort();
    };

    async function renew(): Promise<void> {
      for (let waitMs = leaseMs / RENEWALS; ; ) {
        await time.pause(waitMs, ended.signal);
        if (ended.signal.aborted) return;
        const sentAt = elapsedMs();
        try {
          // A term that is over does not wait for an answer that says nothing any more.
          const renewed = await Promise.race([leader.renew(token, leaseMs), over]);
          if (renewed === null) return;
          if (!renewed) return lose('the lease is gone');
          heldUntil = sentAt + runMs;
          waitMs = leaseMs / RENEWALS;
        } catch (err) {
          if (!(err instanceof BusUnavailable)) throw err;
          logNotRenewed({ err });
          waitMs = RENEW_AGAIN_MS;
        }
      }
    }

    /** Beside the renewals, which may hang. */
    async function watch(): Promise<void> {
      while (!ended.signal.aborted) {
        if (!isHeld()) return lose('not renewed in time');
        await time.pause(heldUntil - elapsedMs(), ended.signal);
      }
    }

    const term: Term = {
      token,
      signal: AbortSignal.any([signal, ended.signal]),
      lose,
      isHeld,
      async release() {
        if (givenUp) return;
        givenUp = true;
        ended.abort();
        if (why !== null) return;
        await leader.release(token).catch((err) => logger.debug('the lead runs out', { err }));
      },
    };
    logger.info('leader', { token });
    const failed = (err: unknown) => {
      failures.push(err);
      ended.abort();
    };
    const keeping = Promise.all([renew().catch(failed), watch()]);
    await serve(term).catch(failed);
    await term.release();
    await keeping;
    if (failures.length > 0) throw failures[0];
    if (why !== null) logger.warn('no longer leader', { token, reason: why });
  }

  return {
    async run(serve, signal) {
      // Not awaited: while the bus is away this waits.
      const tryNow = () => next.abort();
      const listening = leader.onRelease(tryNow);
      signal.addEventListener('abort', tryNow);
      try {
        for (;;) {
          const won = await campaign(signal);
          if (won === null) return;
          await lead(won, serve, signal);
          if (signal.aborted) return;
        }
      } finally {
        signal.removeEventListener('abort', tryNow);
        listening.then((stop) => stop()).catch((err) => logger.debug('listener not let go', { err }));
      }
    },
  };
}
