import { channelsOf } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { Bus, Demand, Journal, Leader, Message } from './bus';
import { answersOf, Commands, Outages } from './redis-connection';
import { RedisDemand } from './redis-demand';
import { RedisJournal } from './redis-journal';
import { RedisLeader } from './redis-leader';
import { Subscriptions } from './subscriptions';

const PING_MS = 1_000;

export interface BusOptions {
  /** `redis://` or `rediss://`, as in REDIS_URL. */
  readonly url: string;
  /** As in REDIS_PREFIX, without the closing colon. */
  readonly prefix: string;
  readonly logger: Logger;
  /** Closes the bus when it is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * A bus on Redis. Returns at once and connects in the background, with backoff, until it is closed; an outage is logged
 * once, and its end once.
 *
 * While Redis is away commands wait up to 2 seconds for it and are then rejected as {@link BusUnavailable}; one whose
 * connection breaks, or which gets no answer for 5 seconds, is rejected likewise and never sent again, since it may have
 * been carried out.
 */
export function connectBus(options: BusOptions): Bus {
  return new RedisBus(options);
}

class RedisBus implements Bus {
  readonly kind = 'redis';
  readonly journal: Journal;
  readonly leader: Leader;
  readonly demand: Demand;
  private readonly outages: Outages;
  private readonly commands: Commands;
  private readonly subscriptions: Subscriptions;
  private closing: Promise<void> | undefined;

  constructor({ url, prefix, logger, signal }: BusOptions) {
    this.outages = new Outages(logger, ['commands', 'subscriber']);
    this.commands = new Commands(url, `${prefix}:commands`, this.outages);
    this.subscriptions = new Subscriptions(url, `${prefix}:subscriber`, this.outages, logger);
    const channels = channelsOf(prefix);
    const subscribe = this.subscribe.bind(this);
    this.journal = new RedisJournal(this.commands, channels, subscribe, logger);
    this.leader = new RedisLeader(this.commands, channels, subscribe);
    this.demand = new RedisDemand(this.commands, channels, subscribe, logger);
    const abort = () => void this.close();
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  }

  async publish(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    await this.commands.pipeline((pipeline) => {
      for (const { channel, text } of messages) pipeline.publish(channel, text);
    });
  }

  subscribe(channel: string, listener: (text: string) => void): Promise<() => Promise<void>> {
    return this.subscriptions.add(channel, (bytes) => listener(bytes.toString()));
  }

  relay(channel: string, listener: (bytes: Buffer) => void): Promise<() => Promise<void>> {
    return this.subscriptions.add(channel, listener);
  }

  async keep({ channel, text }: Message): Promise<void> {
    await this.commands.run(async (redis) => {
      answersOf(await redis.multi().set(channel, text).publish(channel, text).exec());
    });
  }

  kept(channel: string): Promise<string | null> {
    return this.commands.run((redis) => redis.get(channel));
  }

  onReconnect(listener: () => void): void {
    this.subscriptions.onReconnect(listener);
  }

  async ping(timeoutMs: number = PING_MS): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const answer = this.commands
      .run((redis) => redis.ping(), timeoutMs)
      .then(
        () => true,
        () => false,
      );
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }

  close(): Promise<void> {
    this.outages.end();
    this.subscriptions.close();
    return (this.closing ??= this.commands.close());
  }
}
