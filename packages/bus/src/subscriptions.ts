import { backoffMs, boundedLog, type Fields, type Logger, pause } from '@candlewire/runtime';
import type { Redis } from 'ioredis';
import { BusClosed } from './errors';
import { type Outages, openRedis } from './redis-connection';

/** Channels in one SUBSCRIBE: a gateway that comes back with thousands must not hold Redis up with one command. */
const CHANNELS_AT_ONCE = 1_000;
/** A connection that only listens notices a vanished peer by asking; it is cut when no answer comes. */
const PROBE_MS = 5_000;

/** One call of subscribe; an object of its own, so that the same function may be registered twice. */
interface Subscription {
  readonly listener: (bytes: Buffer) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (err: Error) => void;
}

/**
 * Which channels somebody listens to, and a connection that follows.
 *
 * Nobody sends SUBSCRIBE or UNSUBSCRIBE but one loop, which compares what is wanted with what is in force on the present
 * connection and sends the difference, a round at a time. So the two never overtake each other, calls of one moment
 * share a round trip, and coming back after a loss is the same round with nothing in force.
 */
export class Subscriptions {
  private readonly redis: Redis;
  private readonly wanted = new Map<string, Set<Subscription>>();
  private readonly inForce = new Set<string>();
  /** Channels whose two states may differ. */
  private readonly changed = new Set<string>();
  /** Who waits for the two states of a channel to agree. */
  private readonly waiting = new Map<string, Waiter[]>();
  private readonly reconnectListeners: (() => void)[] = [];
  private readonly probe: NodeJS.Timeout;
  private readonly failed: (fields: Fields) => void;
  private readonly closing = new AbortController();
  private up = false;
  private working = false;
  /** Counts connections: an answer that belongs to an earlier one says nothing about this one. */
  private connection = 0;
  private reconnected = false;

  constructor(
    url: string,
    name: string,
    outages: Outages,
    private readonly logger: Logger,
  ) {
    this.failed = boundedLog(logger, 'bus listener failed');
    this.redis = openRedis(url, name, 'subscriber', outages, { up: () => this.cameUp(), down: () => this.wentDown() });
    // Bytes and not text: most messages are passed on as they are.
    this.redis.on('messageBuffer', (channel: Buffer, bytes: Buffer) => this.deliver(channel.toString(), bytes));
    this.probe = setInterval(() => {
      // An error shows as the connection's end, which is what this is for.
      if (this.up) this.redis.ping().catch(() => {});
    }, PROBE_MS);
    this.probe.unref();
  }

  async add(channel: string, listener: (bytes: Buffer) => void): Promise<() => Promise<void>> {
    if (this.closing.signal.aborted) throw new BusClosed();
    const subscription: Subscription = { listener };
    let subscriptions = this.wanted.get(channel);
    if (!subscriptions) this.wanted.set(channel, (subscriptions = new Set()));
    subscriptions.add(subscription);
    await this.agreed(channel);
    return () => this.remove(channel, subscription);
  }

  onReconnect(listener: () => void): void {
    this.reconnectListeners.push(listener);
  }

  close(): void {
    this.closing.abort();
    clearInterval(this.probe);
    this.redis.disconnect();
    this.up = false;
    this.wanted.clear();
    this.inForce.clear();
    const waiters = [...this.waiting.values()].flat();
    this.waiting.clear();
    for (const { reject } of waiters) reject(new BusClosed());
  }

  private async remove(channel: string, subscription: Subscription): Promise<void> {
    const subscriptions = this.wanted.get(channel);
    if (!subscriptions?.delete(subscription)) return;
    if (subscriptions.size > 0) return;
    this.wanted.delete(channel);
    // Nobody has to care whether Redis heard of it: a closed bus listens to nothing.
    await this.agreed(channel).catch(() => {});
  }

  /** Hot. */
  private deliver(channel: string, bytes: Buffer): void {
    const subscriptions = this.wanted.get(channel);
    if (!subscriptions) return;
    for (const { listener } of subscriptions) {
      try {
        listener(bytes);
      } catch (err) {
        this.failed({ channel, err });
      }
    }
  }

  private isAgreed(channel: string): boolean {
    return this.wanted.has(channel) === this.inForce.has(channel);
  }

  private agreed(channel: string): Promise<void> {
    if (this.isAgreed(channel)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiters = this.waiting.get(channel);
      if (waiters) waiters.push({ resolve, reject });
      else this.waiting.set(channel, [{ resolve, reject }]);
      this.changed.add(channel);
      this.work();
    });
  }

  private cameUp(): void {
    this.up = true;
    this.reconnected = this.connection > 0;
    for (const channel of this.wanted.keys()) this.changed.add(channel);
    this.work();
  }

  private wentDown(): void {
    // Attempts that fail end here too; only a connection that had come up counts.
    if (!this.up) return;
    this.up = false;
    this.connection++;
    this.inForce.clear();
    for (const channel of [...this.waiting.keys()]) this.settle(channel);
  }

  private settle(channel: string): void {
    if (!this.isAgreed(channel)) return;
    const waiters = this.waiting.get(channel);
    this.waiting.delete(channel);
    for (const { resolve } of waiters ?? []) resolve();
  }

  private work(): void {
    if (this.working) return;
    this.working = true;
    this.rounds().catch((err) => this.logger.error('subscription loop ended', { err }));
  }

  private async rounds(): Promise<void> {
    try {
      // Lets everything that is asked for in this moment into the first round.
      await Promise.resolve();
      for (let failures = 0; this.up && (this.changed.size > 0 || this.reconnected); ) {
        failures = (await this.round()) ? 0 : failures + 1;
        if (failures > 0 && this.up) await pause(backoffMs(failures), this.closing.signal);
      }
    } finally {
      // Here and not after the promise: whoever calls work() from now on must start a new loop.
      this.working = false;
    }
  }

  /** Brings the channels that changed into agreement. Resolves with whether it could. */
  private async round(): Promise<boolean> {
    const connection = this.connection;
    const channels = [...this.changed];
    this.changed.clear();
    try {
      await this.apply(channels);
    } catch (err) {
      // With the next connection everything is looked at anew; on this one it is tried again.
      if (connection !== this.connection) return true;
      for (const channel of channels) this.changed.add(channel);
      if (err instanceof Error && err.name === 'ReplyError') {
        this.logger.warn('subscribe refused', { err, channels: channels.length });
      }
      return false;
    }
    if (connection !== this.connection) return true;
    for (const channel of channels) {
      // What was wanted may have changed under way.
      if (this.isAgreed(channel)) this.settle(channel);
      else this.changed.add(channel);
    }
    if (this.reconnected) this.tellReconnect();
    return true;
  }

  private async apply(channels: readonly string[]): Promise<void> {
    const connection = this.connection;
    const open = channels.filter((channel) => this.wanted.has(channel) && !this.inForce.has(channel));
    const shut = channels.filter((channel) => !this.wanted.has(channel) && this.inForce.has(channel));
    // Out of force from now and not from the answer: who wants it back meanwhile must wait for a SUBSCRIBE.
    for (const channel of shut) this.inForce.delete(channel);
    await Promise.all([
      ...chunks(shut).map((some) => this.redis.unsubscribe(...some)),
      ...chunks(open).map(async (some) => {
        await this.redis.subscribe(...some);
        if (connection === this.connection) for (const channel of some) this.inForce.add(channel);
      }),
    ]);
  }

  private tellReconnect(): void {
    this.reconnected = false;
    for (const listener of this.reconnectListeners) {
      try {
        listener();
      } catch (err) {
        this.failed({ event: 'reconnect', err });
      }
    }
  }
}

function chunks(channels: readonly string[]): string[][] {
  const result: string[][] = [];
  for (let at = 0; at < channels.length; at += CHANNELS_AT_ONCE) result.push(channels.slice(at, at + CHANNELS_AT_ONCE));
  return result;
}
