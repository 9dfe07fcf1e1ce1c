import type { FeedState } from '@candlewire/contracts';
import type { Acknowledged, Request, Subscriptions } from './subscriptions';
import type { Timings } from './timings';

/** What happens to a connection, as the shell tells it. */
export type LinkEvent =
  | { readonly type: 'authenticated' }
  | { readonly type: 'acknowledged'; readonly by: Acknowledged }
  /** @param text of the server, or of the socket */
  | { readonly type: 'error'; readonly text: string }
  /** The connection is over and its socket closed, whoever ended it. */
  | { readonly type: 'closed' }
  /** It has to end. */
  | { readonly type: 'unusable'; readonly reason: string };

export type Command =
  | { readonly do: 'open' }
  /** `closed` follows. */
  | { readonly do: 'close' }
  | { readonly do: 'ask'; readonly request: Request };

export interface LinkOptions {
  readonly subscriptions: Subscriptions;
  readonly timings: Timings;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * The one connection to the server, made again for as long as there is a source. It reads no clock and waits for nothing;
 * whoever owns it carries out what it says.
 *
 *   resting ──open──► opening ──authenticated──► subscribing ──all acknowledged──► live
 *      ▲                 │                            │                             │
 *      └─────closed──────┴──── closing ◄──── any deadline, refusal or fault ────────┘
 *
 * How long it rests depends on why it ended: after a refusal for good a minute and more (and the state is `failed` until the
 * server accepts the key), after `connection limit exceeded` as long as a lost connection occupies the place, else a second,
 * twice as long each time.
 */
export interface Link {
  /** Deadlines, attempts, and what is to be asked for now. @param mayOpen there is room for what a connection brings */
  look(now: number, mayOpen: boolean): readonly Command[];
  handle(event: LinkEvent, now: number): readonly Command[];
  state(): FeedState;
  /** Why it is not live; null where there is nothing to tell. */
  reason(): string | null;
}

type Phase = 'resting' | 'opening' | 'subscribing' | 'live' | 'closing';
type Cause = 'lost' | 'limit' | 'refused';

const LIMIT = 'connection limit exceeded';
/** The protocol's codes by the texts that the SDK gives for them; it drops the codes. */
const CODES: ReadonlyMap<string, number> = new Map([
  ['invalid syntax', 400],
  ['not authenticated', 401],
  ['auth failed', 402],
  ['already authenticated', 403],
  ['auth timeout', 404],
  ['symbol limit exceeded', 405],
  [LIMIT, 406],
  ['slow client', 407],
  ['v2 not enabled', 408],
  ['insufficient subscription', 409],
  ['invalid subscribe action for this feed', 410],
  ['insufficient scope', 411],
  ['internal error', 500],
]);
/** Nothing that is tried again soon helps against these. */
const REFUSALS: ReadonlySet<number> = new Set([401, 402, 408, 409, 411]);
/** Answers to the upgrade that mean the same. */
const UPGRADE_REFUSED = /^Unexpected server response: (401|403|404)$/;
/** Random part of the pause after LIMIT: it is no longer than it has to be. */
const LIMIT_JITTER = 0.02;

export function createLink({ subscriptions, timings, random }: LinkOptions): Link {
  let phase: Phase = 'resting';
  let since = Number.NEGATIVE_INFINITY;
  let restUntil = Number.NEGATIVE_INFINITY;
  let cause: Cause = 'lost';
  let why: string | null = null;
  /** Whether `why` is of this connection. */
  let isBlamed = false;
  let attempts = 0;
  let refusals = 0;
  let isFailed = false;

  function enter(next: Phase, now: number): void {
    phase = next;
    since = now;
  }

  function end(now: number, reason: string, because: Cause = 'lost'): readonly Command[] {
    if (phase === 'resting') return [];
    // The first reason is the one: others follow from it.
    if (phase === 'closing') return [];
    blame(reason, because);
    if (phase === 'live' && now - since >= timings.stableMs) attempts = 0;
    enter('closing', now);
    return [{ do: 'close' }];
  }

  function blame(reason: string, because: Cause): void {
    why = reason;
    cause = because;
    isBlamed = true;
    if (because === 'refused') isFailed = true;
  }

  function restMs(): number {
    if (cause === 'limit') return timings.limitMs * (1 + LIMIT_JITTER * random());
    if (cause === 'refused') return Math.min(timings.refusedMaxMs, timings.refusedFirstMs * 2 ** (refusals - 1));
    const full = Math.min(timings.retryMaxMs, timings.retryFirstMs * 2 ** Math.min(attempts - 1, 16));
    return full / 2 + random() * (full / 2);
  }

  function rest(now: number): void {
    if (phase === 'live' && now - since >= timings.stableMs) attempts = 0;
    if (cause === 'refused') refusals++;
    else if (cause === 'lost') attempts++;
    restUntil = now + restMs();
    enter('resting', now);
  }

  function settle(now: number): readonly Command[] {
    const request = subscriptions.next(now);
    if (request !== null) return [{ do: 'ask', request }];
    if (phase === 'subscribing' && subscriptions.isSettled(now)) {
      enter('live', now);
      why = null;
    }
    return [];
  }

  function failed(text: string, now: number): readonly Command[] {
    const code = CODES.get(text);
    if (code === 406) return end(now, text, 'limit');
    if ((code !== undefined && REFUSALS.has(code)) || UPGRADE_REFUSED.test(text)) return end(now, text, 'refused');
    if (phase === 'subscribing' || phase === 'live') {
      if (code === 403) return [];
      if (code !== 404 && code !== 407 && subscriptions.askedAt() !== null) {
        subscriptions.refused(code, now);
        return settle(now);
      }
    }
    // What ends a connection is told before its end.
    if (phase !== 'closing') blame(text, 'lost');
    return code === 404 ? end(now, text) : [];
  }

  return {
    state: () => (isFailed ? 'failed' : phase === 'live' ? 'live' : 'connecting'),
    reason: () => (phase === 'live' ? null : why),

    look(now, mayOpen) {
      if (phase === 'resting') {
        if (now < restUntil || !mayOpen) return [];
        enter('opening', now);
        cause = 'lost';
        isBlamed = false;
        subscriptions.opened();
        return [{ do: 'open' }];
      }
      if (phase === 'opening') return now - since >= timings.authMs ? end(now, 'not authenticated in time') : [];
      if (phase === 'closing') return [];
      const askedAt = subscriptions.askedAt();
      if (askedAt !== null && now - askedAt >= timings.requestMs) return end(now, 'no answer to a request');
      return settle(now);
    },

    handle(event, now) {
      switch (event.type) {
        case 'authenticated':
          if (phase !== 'opening') return [];
          isFailed = false;
          refusals = 0;
          enter('subscribing', now);
          return settle(now);
        case 'acknowledged':
          if (phase !== 'subscribing' && phase !== 'live') return [];
          subscriptions.acknowledged(event.by, now);
          return settle(now);
        case 'error':
          return failed(event.text, now);
        case 'unusable':
          return end(now, event.reason);
        case 'closed':
          if (phase === 'resting') return [];
          if (!isBlamed) blame('the connection was lost', 'lost');
          rest(now);
          return [];
      }
    },
  };
}
