import { CandlewireError } from './errors.ts';
import type { ServerMessage } from './link.ts';
import { isPassing, Retries } from './retries.ts';
import type { PriceUpdate } from './types.ts';

/** Of one message: it stays below the server's 16 KiB. */
const SYMBOLS_PER_MESSAGE = 500;

/** Where prices go. */
export interface PriceSink {
  price(price: PriceUpdate): void;
  /** The server refuses the symbol; nothing more comes. */
  failed(error: CandlewireError): void;
}

/** A symbol (or `*`) that somebody follows, or did. */
interface Topic {
  readonly symbol: string;
  /** Whether the server was told, on this connection, that it is followed. */
  isAsked: boolean;
  /** Of the last thing that was said of it; 0: it was refused, and waits to be asked for again. */
  requestId: number;
  isAlone: boolean;
  failures: number;
  readonly sinks: Set<PriceSink>;
}

/** Follows prices on one connection at a time. The latest of a symbol is all that counts, so nothing is resumed. */
export class PriceFeed {
  private readonly topics = new Map<string, Topic>();
  private readonly dirty = new Set<Topic>();
  /** Of each symbol that came: those who join later begin with it. */
  private readonly latest = new Map<string, PriceUpdate>();

  private readonly retries = new Retries();
  private sinkCount = 0;

  constructor(private readonly deps: { wake(): void; nextId(): number }) {}

  /** Nobody follows anything. */
  get isIdle(): boolean {
    return this.sinkCount === 0;
  }

  /** Follows a symbol, or `*`, until the function that it gives is called. */
  follow(symbol: string, sink: PriceSink): () => void {
    let topic = this.topics.get(symbol);
    if (!topic) {
      topic = { symbol, isAsked: false, requestId: 0, isAlone: false, failures: 0, sinks: new Set() };
      this.topics.set(symbol, topic);
    }
    topic.sinks.add(sink);
    this.sinkCount++;
    // What comes already, under whichever name, nobody has to wait for.
    const named = symbol === '*' ? [...this.latest.keys()] : [symbol];
    for (const one of named) {
      const price = this.latest.get(one);
      if (price && (this.isAsked(one) || this.isAsked('*'))) sink.price(price);
    }
    this.touch(topic);
    return () => this.unfollow(topic, sink);
  }

  /** The connection is gone: everything is to be asked for again. */
  lost(): void {
    for (const topic of this.topics.values()) {
      topic.isAsked = false;
      if (topic.sinks.size > 0) this.touch(topic);
      else this.forget(topic);
    }
  }

  /** Everything ends; the followers are told `error`, where there is one. */
  end(error?: CandlewireError): void {
    this.retries.clear();
    for (const topic of this.topics.values()) this.refuse(topic, error);
    this.topics.clear();
    this.dirty.clear();
    this.latest.clear();
  }

  /** The next message for the server, null where there is none. It counts as sent. */
  next(): object | null {
    for (const topic of this.dirty) {
      this.dirty.delete(topic);
      const isWanted = topic.sinks.size > 0;
      if (isWanted !== topic.isAsked) return this.say(topic, isWanted);
      if (!isWanted) this.forget(topic);
    }
    return null;
  }

  /** Takes a message, if it is of prices. */
  take(message: ServerMessage): void {
    if (message.type === 'price_update') this.price(message as unknown as PriceUpdate);
    else if (message.type === 'error') this.refused(message);
  }

  private say(first: Topic, isWanted: boolean): object {
    const id = this.deps.nextId();
    const group = [first];
    for (const other of this.dirty) {
      if (first.isAlone || group.length >= SYMBOLS_PER_MESSAGE) break;
      if (other.isAlone || other.isAsked === isWanted || other.sinks.size > 0 !== isWanted) continue;
      this.dirty.delete(other);
      group.push(other);
    }
    for (const topic of group) {
      topic.isAsked = isWanted;
      topic.requestId = id;
      if (!isWanted) this.forget(topic);
    }
    const symbols = group.map(({ symbol }) => symbol);
    return { type: isWanted ? 'subscribe' : 'unsubscribe', id, channel: 'prices', symbols };
  }

  private price(price: PriceUpdate): void {
    const { symbol } = price;
    const sinks = [...(this.topics.get(symbol)?.sinks ?? []), ...(this.topics.get('*')?.sinks ?? [])];
    if (sinks.length === 0) return;
    this.latest.set(symbol, price);
    for (const sink of sinks) sink.price(price);
  }

  private refused({ id, code, message }: ServerMessage): void {
    const group = [...this.topics.values()].filter((topic) => topic.isAsked && topic.requestId === id);
    if (isPassing(code)) {
      this.postpone(group);
      return;
    }
    for (const topic of group) {
      topic.isAsked = false;
      if (group.length > 1) {
        topic.isAlone = true;
        this.touch(topic);
      } else this.refuse(topic, new CandlewireError(String(message), { code: String(code), status: 400 }));
    }
  }

  /**
   * Asks for them again after a pause, together: one by one they would hold up everything else. Until then they count as
   * asked, since the server may tell some of them.
   */
  private postpone(group: readonly Topic[]): void {
    if (group.length === 0) return;
    for (const topic of group) {
      topic.requestId = 0;
      topic.failures++;
    }
    const failures = Math.max(...group.map((topic) => topic.failures));
    this.retries.later(failures, () => {
      for (const topic of group) {
        if (topic.requestId !== 0 || topic.sinks.size === 0) continue;
        topic.isAsked = false;
        this.touch(topic);
      }
    });
  }

  private refuse(topic: Topic, error: CandlewireError | undefined): void {
    for (const sink of [...topic.sinks]) {
      this.unfollow(topic, sink);
      if (error) sink.failed(error);
    }
  }

  private unfollow(topic: Topic, sink: PriceSink): void {
    if (!topic.sinks.delete(sink)) return;
    this.sinkCount--;
    this.touch(topic);
  }

  private forget(topic: Topic): void {
    this.dirty.delete(topic);
    if (this.topics.get(topic.symbol) === topic) this.topics.delete(topic.symbol);
    const isKept = (symbol: string) => this.topics.has(symbol) || this.topics.has('*');
    for (const symbol of this.latest.keys()) if (!isKept(symbol)) this.latest.delete(symbol);
  }

  private isAsked(symbol: string): boolean {
    return this.topics.get(symbol)?.isAsked ?? false;
  }

  private touch(topic: Topic): void {
    this.dirty.add(topic);
    this.deps.wake();
  }
}
