import { backoffMs, type Logger, pause } from '@candlewire/runtime';
import { type ChainableCommander, Redis } from 'ioredis';
import { BusClosed, BusUnavailable } from './errors';

/** How long a command waits for a connection before it is rejected. */
const COMMAND_WAIT_MS = 2_000;
/** Commands that may wait at the same time; more are rejected at once. */
const COMMANDS_WAITING_MAX = 10_000;
/** A Redis that owes an answer for so long is given up, and the connection made anew. */
const ANSWER_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_MAX_MS = 2_000;
/** How long commands that are under way may take to end before the connection is closed. */
const CLOSE_WAIT_MS = 1_000;
/** How long a closed connection waits for the other end to close it too. */
const DISCONNECT_MS = 100;

/** What a Redis says when another attempt may succeed although nobody changes the request. */
const PASSING = /^(LOADING|READONLY|BUSY|MASTERDOWN|OOM|MISCONF|NOREPLICAS|TRYAGAIN|CLUSTERDOWN)\b/;

/**
 * Tells of an outage once and of its end once, however many connections and attempts it takes.
 * A connection counts as missing until it has come up for the first time.
 */
export class Outages {
  private readonly missing: Set<string>;
  private since = Date.now();
  private told = false;
  private ended = false;

  constructor(
    private readonly logger: Logger,
    connections: readonly string[],
  ) {
    this.missing = new Set(connections);
  }

  lost(connection: string, err?: Error): void {
    if (this.ended) return;
    if (this.missing.size === 0) this.since = Date.now();
    this.missing.add(connection);
    if (this.told) return;
    this.told = true;
    this.logger.warn('redis away', err ? { connection, err } : { connection });
  }

  back(connection: string): void {
    this.missing.delete(connection);
    if (this.ended || this.missing.size > 0) return;
    this.logger.info('redis connected', this.told ? { awayMs: Date.now() - this.since } : {});
    this.told = false;
  }

  /** From here on connections go because they are told to. */
  end(): void {
    this.ended = true;
  }
}

export interface ConnectionEvents {
  /** The connection takes commands. */
  up(): void;
  /** It is lost, or one more attempt failed; it will be tried again. */
  down(): void;
}

/**
 * A connection that is made in the background and made again for ever.
 *
 * What the library would do by itself and must not: keep commands while Redis is away (they would wait without bound,
 * and prices would go out as live minutes later), send them again after a loss whose outcome is unknown (only the caller
 * knows whether a repeat does harm), and subscribe again (it forgets channels when the connection breaks a second time
 * meanwhile, and does not say when it is done). With no retries every command under way is rejected as soon as the
 * connection breaks; with resending off but retries on it would never be settled at all.
 */
export function openRedis(url: string, name: string, role: string, outages: Outages, events: ConnectionEvents): Redis {
  const redis = new Redis(url, {
    connectionName: name,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_MS,
    socketTimeout: ANSWER_TIMEOUT_MS,
    retryStrategy: (attempt) => backoffMs(attempt, RECONNECT_MAX_MS),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
  });
  redis.on('error', (err: Error) => outages.lost(role, err));
  redis.on('close', () => {
    outages.lost(role);
    events.down();
  });
  redis.on('ready', () => {
    outages.back(role);
    events.up();
  });
  return redis;
}

/** The connection for everything but subscriptions: commands wait a little for it, and then fail. */
export class Commands {
  private readonly redis: Redis;
  private readonly waiting = new Set<(err?: Error) => void>();
  private up = false;
  private closed = false;

  constructor(url: string, name: string, outages: Outages) {
    this.redis = openRedis(url, name, 'commands', outages, {
      up: () => {
        this.up = true;
        for (const settle of [...this.waiting]) settle();
      },
      down: () => {
        this.up = false;
      },
    });
  }

  /** Makes a command of a script, on every connection and pipeline. */
  define(name: string, script: { lua: string; numberOfKeys: number }): void {
    this.redis.defineCommand(name, script);
  }

  /**
   * Runs `act` on a connection that is up. Calls that had to wait run in the order in which they were made.
   * @throws BusUnavailable after `waitMs` without a connection, or when it breaks while `act` waits for an answer
   */
  async run<T>(act: (redis: Redis) => Promise<T>, waitMs: number = COMMAND_WAIT_MS): Promise<T> {
    if (this.closed) throw new BusClosed();
    if (!this.up) await this.comesUp(waitMs);
    try {
      return await act(this.redis);
    } catch (err) {
      throw asBusError(err);
    }
  }

  /** Sends what `fill` puts into a pipeline, in one round trip. Resolves with the answers, rejects with the first error. */
  pipeline(fill: (pipeline: ChainableCommander) => void): Promise<unknown[]> {
    return this.run(async (redis) => {
      const pipeline = redis.pipeline();
      fill(pipeline);
      return answersOf(await pipeline.exec());
    });
  }

  /** Lets what is under way end, within bounds. */
  async close(): Promise<void> {
    this.closed = true;
    for (const settle of [...this.waiting]) settle(new BusClosed());
    if (this.up) {
      const done = new AbortController();
      const quit = this.redis.quit().catch(() => {});
      await Promise.race([quit, pause(CLOSE_WAIT_MS, done.signal)]);
      done.abort();
    }
    this.redis.disconnect();
  }

  private comesUp(waitMs: number): Promise<void> {
    if (this.waiting.size >= COMMANDS_WAITING_MAX) {
      return Promise.reject(new BusUnavailable('redis is away and too many commands wait for it'));
    }
    return new Promise((resolve, reject) => {
      const settle = (err?: Error) => {
        clearTimeout(timer);
        this.waiting.delete(settle);
        if (err) reject(err);
        else resolve();
      };
      const timer = setTimeout(() => settle(new BusUnavailable(`redis is away (waited ${waitMs} ms)`)), waitMs);
      this.waiting.add(settle);
    });
  }
}

/** The answers of a pipeline; throws the first error among them. */
export function answersOf(replies: [error: Error | null, answer: unknown][] | null): unknown[] {
  return (replies ?? []).map(([err, answer]) => {
    if (err) throw err;
    return answer;
  });
}

/** Whatever is not an answer of Redis comes from the connection; of the answers some say "not now". */
function asBusError(err: unknown): unknown {
  if (!(err instanceof Error)) return err;
  if (err.name !== 'ReplyError') return new BusUnavailable('the connection to redis broke', { cause: err });
  return PASSING.test(err.message) ? new BusUnavailable(`redis: ${err.message}`, { cause: err }) : err;
}
