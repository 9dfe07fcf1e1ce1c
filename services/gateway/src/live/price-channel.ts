import { priceUpdate } from '@candlewire/contracts';
import type { Open } from './channels';
import type { LiveClient, Task } from './client';
import type { LiveCounters } from './counters';
import type { Flushable, Flusher } from './flusher';
import { frameOf } from './frame';
import type { Reader } from './reader';

export interface PriceDeps {
  readonly reader: Reader;
  readonly flusher: Flusher;
  readonly counters: LiveCounters;
}

/** The prices of one symbol: best effort, so that whoever reads slowly is told the newest and no more. */
export class PriceChannel implements Flushable {
  private batch: Buffer[] = [];
  private readonly followers: PriceFollower[] = [];
  /** The newest price, unless later ones may have been lost. */
  last: Buffer | null = null;

  constructor(
    readonly symbol: string,
    private readonly deps: PriceDeps,
  ) {}

  /** Hot. */
  hear(bytes: Buffer): void {
    this.deps.counters.messagesIn++;
    const frame = frameOf(bytes, Buffer.allocUnsafeSlow);
    this.last = frame;
    if (this.followers.length === 0) return;
    if (this.batch.length === 0) this.deps.flusher.channel(this);
    this.batch.push(frame);
  }

  /** Prices were lost: those who follow are told the one that holds now. */
  lost(): void {
    this.last = null;
    for (const follower of [...this.followers]) {
      this.leave(follower);
      follower.wait();
    }
  }

  /** Hot. */
  flush(): void {
    const { batch, followers } = this;
    this.batch = [];
    if (batch.length === 0 || followers.length === 0) return;
    const bytes = batch.length === 1 ? batch[0]! : Buffer.concat(batch);
    for (let i = followers.length - 1; i >= 0; i--) {
      const follower = followers[i]!;
      if (follower.client.isSlow()) {
        this.leave(follower);
        follower.wait();
      } else follower.client.outbox.append(bytes, batch.length);
    }
  }

  join(follower: PriceFollower): void {
    // What is under way is no newer than what the follower is told.
    if (this.batch.length > 0) this.flush();
    follower.at = this.followers.length;
    this.followers.push(follower);
  }

  leave(follower: PriceFollower): void {
    if (follower.at < 0) return;
    const last = this.followers.pop()!;
    if (last !== follower) {
      this.followers[follower.at] = last;
      last.at = follower.at;
    }
    follower.at = -1;
  }

  /** The newest price there is, as a frame; null where there is none. */
  async current(): Promise<Buffer | null> {
    if (this.last !== null) return this.last;
    const latest = await this.deps.reader.latest(this.symbol);
    // What came meanwhile is newer.
    if (this.last !== null || latest === null) return this.last;
    const { symbol, candle, reference } = latest;
    return frameOf(JSON.stringify(priceUpdate(symbol, candle.close, reference, candle.timestamp, candle.volume)));
  }
}

/** One client that follows the prices of one symbol. */
export class PriceFollower implements Task {
  /** Place in the channel's list; -1: not live. Only the channel changes it. */
  at = -1;
  isOver = false;
  private isWaiting = false;

  constructor(
    private readonly open: Open<PriceChannel>,
    readonly client: LiveClient,
  ) {
    this.wait();
  }

  stop(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.open.hearer.leave(this);
    this.open.release();
  }

  /** It has to be told the current price before it goes on. */
  wait(): void {
    if (this.isWaiting || this.isOver) return;
    this.isWaiting = true;
    this.client.work.add(this);
  }

  async step(): Promise<void> {
    await this.open.ready;
    const price = await this.open.hearer.current();
    this.isWaiting = false;
    if (this.isOver) return;
    this.open.hearer.join(this);
    if (price !== null) this.client.outbox.append(price);
  }
}
