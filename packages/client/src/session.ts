import { CandleFeed, type CandleFeedDeps } from './candle-feed.ts';
import { CandlewireError } from './errors.ts';
import { LeftOutFeed } from './left-out.ts';
import { Link, type LinkOptions, type LinkState } from './link.ts';
import { PriceFeed } from './price-feed.ts';

/** Below the server's 20 messages a second after a burst of 100. */
const SENT_PER_S = 18;
const SENT_BURST = 90;
/** The connection stays so long after the last follower has gone: another one often comes at once. */
const LINGER_MS = 5_000;

/** What a session needs. */
export interface SessionOptions extends LinkOptions {
  readonly apiKey: string | undefined;
  readonly loadPage: CandleFeedDeps['loadPage'];
}

/** The one connection that all followers share: opened for the first of them, paced, and let go after the last. */
export class Session {
  readonly candles: CandleFeed;
  readonly prices: PriceFeed;
  readonly leftOut = new LeftOutFeed();
  readonly stateListeners = new Set<(state: LinkState) => void>();
  private readonly link: Link;
  private lastId = 0;
  private credit = SENT_BURST;
  private creditedAtMs = 0;
  private isWoken = false;
  private pacing: ReturnType<typeof setTimeout> | undefined;
  private lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: SessionOptions) {
    const nextId = () => ++this.lastId;
    const wake = () => this.wake();
    this.candles = new CandleFeed({ loadPage: options.loadPage, wake, nextId });
    this.prices = new PriceFeed({ wake, nextId });
    this.link = new Link(options, {
      opened: () => this.opened(),
      message: (message) => {
        this.candles.take(message);
        this.prices.take(message);
        this.leftOut.take(message);
      },
      lost: () => this.lost(),
      failed: (error) => this.end(error),
      state: (state) => {
        for (const listener of [...this.stateListeners]) listener(state);
      },
    });
  }

  get state(): LinkState {
    return this.link.state;
  }

  /** Throws where nothing can be followed any more. */
  assertUsable(): void {
    const { name, error } = this.link.state;
    if (name === 'closed') throw new CandlewireError('the client was closed', { code: 'closed' });
    if (name === 'failed') throw error!;
  }

  close(): void {
    this.link.close('closed');
    this.end();
  }

  private end(error?: CandlewireError): void {
    clearTimeout(this.pacing);
    this.candles.end(error);
    this.prices.end(error);
    clearTimeout(this.lingering);
    this.lingering = undefined;
  }

  private opened(): void {
    this.credit = SENT_BURST;
    this.creditedAtMs = Date.now();
    const { apiKey } = this.options;
    if (apiKey !== undefined) this.say({ type: 'auth', api_key: apiKey });
    this.candles.opened();
    this.pump();
  }

  private lost(): void {
    clearTimeout(this.pacing);
    this.candles.lost();
    this.prices.lost();
    this.leftOut.lost();
  }

  /** Those who come or go together are told of together. */
  private wake(): void {
    if (this.isWoken) return;
    this.isWoken = true;
    queueMicrotask(() => {
      this.isWoken = false;
      this.settle();
    });
  }

  private settle(): void {
    const isIdle = this.candles.isIdle && this.prices.isIdle;
    const { name } = this.link.state;
    if (name === 'closed' || name === 'failed') return;
    if (!isIdle) {
      clearTimeout(this.lingering);
      this.lingering = undefined;
      this.link.open();
    } else if (name !== 'idle')
      this.lingering ??= setTimeout(() => {
        this.lingering = undefined;
        this.link.close('idle');
        this.lost();
      }, LINGER_MS);
    this.pump();
  }

  /**
   * Says what there is to say, as fast as the server likes it. Composed only now, it is what is wanted now. Prices first:
   * they take one message, and candles that are resumed one each.
   */
  private pump(): void {
    if (this.link.state.name !== 'open') return;
    clearTimeout(this.pacing);
    const nowMs = Date.now();
    this.credit = Math.min(SENT_BURST, this.credit + ((nowMs - this.creditedAtMs) * SENT_PER_S) / 1_000);
    this.creditedAtMs = nowMs;
    while (this.credit >= 1) {
      const message = this.prices.next() ?? this.candles.next();
      if (!message) return;
      this.say(message);
    }
    this.pacing = setTimeout(() => this.pump(), Math.ceil(((1 - this.credit) * 1_000) / SENT_PER_S));
  }

  private say(message: object): void {
    this.credit--;
    this.link.send(JSON.stringify(message));
  }
}
