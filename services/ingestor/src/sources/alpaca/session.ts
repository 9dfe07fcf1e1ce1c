import { type Bar, type BarRefusal, type FeedState, isRefusal, parseBar } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Time } from '../../time';
import { type Command, createLink, type LinkEvent } from './link';
import type { LivenessWatch } from './liveness';
import type { OpenStream, StreamBar, StreamConnection, StreamOptions, StreamTrade } from './sdk-stream';
import type { Subscriptions } from './subscriptions';
import type { Timings } from './timings';

/** There is a new connection when fewer bars are left of those that the last one brought. */
const HELD_FEW = 0.1;
/** Where frames are lost all the time, not everything is fetched again all the time. */
const LOST_FRAME_MS = 60_000;

export interface SessionOptions {
  readonly connection: Omit<StreamOptions, 'timings'>;
  readonly subscriptions: Subscriptions;
  readonly liveness: LivenessWatch;
  readonly onTrade: (trade: StreamTrade) => void;
  readonly onRefused: (reason: BarRefusal | 'unreadable_frame') => void;
  readonly open: OpenStream;
  /** Bars that are held for a reader who is away. Then the connection is given up, and history has the rest. */
  readonly heldMax: number;
  readonly timings: Timings;
  readonly random: () => number;
  readonly time: Time;
  readonly logger: Logger;
}

/** The stream from when somebody begins to read until he ends, over all its connections. */
export interface Session {
  /** Does what is due; to be called every `lookMs`, and whenever something happened. */
  look(now: number): void;
  state(): FeedState;
  reason(): string | null;
  /** Bars that arrived since the last call, in their order. */
  take(): Bar[];
  /** Whether something was lost, since the last call, that nobody else will miss. */
  hasLost(now: number): boolean;
  /** Resolves when something happened, after `lookMs`, or at once where the signal is aborted. */
  something(signal: AbortSignal): Promise<void>;
  /** Resolves when the connection is closed: nobody else gets its place before. */
  close(): Promise<void>;
}

export function createSession(options: SessionOptions): Session {
  const { subscriptions, liveness, onTrade, onRefused, open, heldMax, timings, random, time, logger } = options;
  const link = createLink({ subscriptions, timings, random });
  const logUnreadable = boundedLog(logger, 'a frame of the stream was lost');
  const logError = boundedLog(logger, 'the stream told of an error', { first: 10 });
  let held: Bar[] = [];
  let isFlooded = false;
  let connection: StreamConnection | null = null;
  let hasLost = false;
  let toldLostAt = Number.NEGATIVE_INFINITY;
  let wasLive = false;
  let changed = new AbortController();

  function handle(event: LinkEvent): void {
    perform(link.handle(event, time.elapsedMs()));
    noteState();
    changed.abort();
  }

  function perform(commands: readonly Command[]): void {
    for (const command of commands) {
      if (command.do === 'ask') connection?.ask(command.request);
      else if (command.do === 'close') connection?.close();
      else connect();
    }
  }

  function connect(): void {
    connection = open(
      { ...options.connection, timings },
      {
        authenticated: () => handle({ type: 'authenticated' }),
        acknowledged: (by) => handle({ type: 'acknowledged', by }),
        error(text) {
          logError({ reason: text });
          handle({ type: 'error', text });
        },
        unreadable() {
          hasLost = true;
          onRefused('unreadable_frame');
          logUnreadable({});
        },
        bar: arrived,
        trade: onTrade,
        closed() {
          connection = null;
          handle({ type: 'closed' });
        },
      },
    );
  }

  /** Hot: the socket waits meanwhile. */
  function arrived(raw: StreamBar, rev: 0 | 1): void {
    const now = time.now();
    const bar = parseBar({ ...raw, openTime: raw.timestamp.getTime(), rev }, now);
    if (isRefusal(bar)) {
      onRefused(bar);
      return;
    }
    liveness.arrived(bar.symbol, bar.openTime, rev, now);
    // Some come after their symbol was unsubscribed.
    if (!subscriptions.isWanted(bar.symbol)) return;
    held.push(bar);
    if (held.length === heldMax) {
      isFlooded = true;
      handle({ type: 'unusable', reason: 'bars wait to be taken' });
    } else if (held.length === 1) changed.abort();
  }

  function noteState(): void {
    const isLive = link.state() === 'live';
    if (isLive === wasLive) return;
    wasLive = isLive;
    if (isLive) {
      liveness.began(time.now());
      logger.info('stream is live', { symbols: subscriptions.flowing().length });
    } else logger.warn('stream is lost', { reason: link.reason() });
  }

  async function something(signal: AbortSignal): Promise<void> {
    const wake = () => changed.abort();
    signal.addEventListener('abort', wake);
    if (!signal.aborted) await time.pause(timings.lookMs, changed.signal);
    signal.removeEventListener('abort', wake);
  }

  return {
    look(now) {
      // Made before the look: what happens while it is under way is looked at right after it.
      changed = new AbortController();
      if (held.length <= heldMax * HELD_FEW) isFlooded = false;
      perform(link.look(time.elapsedMs(), !isFlooded));
      noteState();
      if (wasLive && liveness.judge(subscriptions.flowing(), now) === 'stale') {
        liveness.gaveUp();
        handle({ type: 'unusable', reason: 'no bars, though they should come' });
      }
    },
    state: link.state,
    reason: link.reason,
    take() {
      const bars = held;
      held = [];
      return bars;
    },
    hasLost(now) {
      if (!hasLost || now - toldLostAt < LOST_FRAME_MS) return false;
      hasLost = false;
      toldLostAt = now;
      return true;
    },
    something,
    async close() {
      const never = new AbortController().signal;
      connection?.close();
      while (connection !== null) {
        changed = new AbortController();
        await something(never);
      }
    },
  };
}
