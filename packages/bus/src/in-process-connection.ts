import { setImmediate as nextTurn } from 'node:timers/promises';
import { boundedLog, type Fields, type Logger } from '@candlewire/runtime';
import type { Message } from './bus';
import { BusClosed } from './errors';

/** Messages delivered in one turn of the event loop; the rest waits for the next, so that sockets and timers get theirs. */
const MESSAGES_PER_TURN = 1_000;

/** One call of subscribe; an object of its own, so that the same function may be registered twice. */
interface Subscription {
  readonly listener: (text: string) => void;
}

/** What one call published, as far as it is delivered. */
interface Parcel {
  readonly messages: readonly Message[];
  at: number;
  readonly delivered: () => void;
}

/**
 * Carries messages from publishers to listeners, in the order of publishing and never within the publisher's own turn.
 * What is under way is bounded by the publishers, who wait for it.
 */
export class Post {
  private readonly subscriptions = new Map<string, Set<Subscription>>();
  private readonly parcels: Parcel[] = [];
  private readonly failed: (fields: Fields) => void;

  constructor(logger: Logger) {
    this.failed = boundedLog(logger, 'bus listener failed');
  }

  /** Resolves when all of them were delivered; never rejects. */
  send(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return Promise.resolve();
    return new Promise((delivered) => {
      this.parcels.push({ messages: [...messages], at: 0, delivered });
      // A parcel stays in the list until its last message is delivered: behind another one the next turn is on its way.
      if (this.parcels.length === 1) setImmediate(() => this.turn());
    });
  }

  /** @returns ends it, at once; may be called again */
  subscribe(channel: string, listener: (text: string) => void): () => void {
    const subscription: Subscription = { listener };
    let subscriptions = this.subscriptions.get(channel);
    if (!subscriptions) this.subscriptions.set(channel, (subscriptions = new Set()));
    subscriptions.add(subscription);
    return () => {
      const left = this.subscriptions.get(channel);
      if (left?.delete(subscription) && left.size === 0) this.subscriptions.delete(channel);
    };
  }

  /** Hot. */
  private turn(): void {
    for (let count = 0; count < MESSAGES_PER_TURN && this.parcels.length > 0; count++) {
      const parcel = this.parcels[0]!;
      this.deliver(parcel.messages[parcel.at++]!);
      if (parcel.at < parcel.messages.length) continue;
      this.parcels.shift();
      parcel.delivered();
    }
    if (this.parcels.length > 0) setImmediate(() => this.turn());
  }

  private deliver({ channel, text }: Message): void {
    const subscriptions = this.subscriptions.get(channel);
    if (!subscriptions) return;
    for (const { listener } of subscriptions) {
      try {
        listener(text);
      } catch (err) {
        this.failed({ channel, err });
      }
    }
  }
}

/** One user's end of the hub: what goes through it ends when it is closed. */
export class InProcessConnection {
  private readonly endings = new Set<() => void>();
  private closed = false;

  constructor(private readonly post: Post) {}

  /**
   * Acts at once and answers in a later turn, as a server would: a loop that does nothing but ask must not keep sockets
   * and timers waiting.
   */
  async run<T>(act: () => T): Promise<T> {
    if (this.closed) throw new BusClosed();
    const answer = act();
    await nextTurn();
    return answer;
  }

  /** Like {@link Post.send}. */
  send(messages: readonly Message[]): Promise<void> {
    return this.post.send(messages);
  }

  subscribe(channel: string, listener: (text: string) => void): Promise<() => Promise<void>> {
    return this.run(() => {
      const end = this.post.subscribe(channel, listener);
      this.endings.add(end);
      return async () => {
        this.endings.delete(end);
        end();
      };
    });
  }

  close(): void {
    this.closed = true;
    for (const end of this.endings) end();
    this.endings.clear();
  }
}
