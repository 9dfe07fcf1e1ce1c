import { type Channels, type Interval, SeriesMessage, type WireCandle } from '@candlewire/contracts';
import type { CandlesPage, ChangesPage } from '@candlewire/store';
import { onceAnswered, type Reads } from '../bound-store';
import { within } from '../deadline';
import type { Hub, HubMessage } from './hub';

/** A client that cannot be given its snapshot by then is better off trying another replica. */
const JOIN_MS = 10_000;
/** Messages kept while the store is read; with more of them the store is read again. */
const HELD_MAX = 1_000;
const CHANGES_AT_ONCE = 500;
/** Whoever is further behind starts again with a snapshot. */
const BEHIND_MAX = 10_000;

/** Whom a series is told to. */
export interface SeriesSink {
  /** The series as it stands; what was told before is void. */
  snapshot(page: CandlesPage): void;
  /** The state of one candle after a change. Hot. */
  change(candle: WireCandle): void;
  /** Resolves when the sink can take much more. */
  drained(): Promise<void>;
}

export interface SeriesFeedDeps {
  readonly hub: Hub;
  readonly store: Pick<Reads, 'candles' | 'changes'>;
  readonly channels: Pick<Channels, 'candles'>;
  /** Hears of a message on the bus that is none. */
  readonly onRefused: (text: string) => void;
}

export interface SeriesQuery {
  readonly symbol: string;
  readonly interval: Interval;
  /** Candles of the snapshot. */
  readonly limit: number;
}

/**
 * Tells a sink the newest candles of a series, and then every change: each seq, or a later state of the same candle in its
 * stead, in ascending order.
 *
 * States: `working`, while the store is read (messages are held), and live, while each message is the successor of the one
 * before. Whatever breaks that succession (a message lost, too many at once, a `changed`) leads back to working, which
 * reads from the store what changed after the last seq that was told; another epoch leads to a new snapshot. Messages are
 * published after their commit, so what a message tells of is in the store whenever the message is here.
 */
export class SeriesFeed {
  private epoch = '';
  /** Seq of the last change that the sink knows. */
  private last = 0;
  private due: 'snapshot' | 'changes' | null = null;
  private working = true;
  private held: HubMessage[] = [];
  private readonly end: Promise<void>;
  private fail: (err: unknown) => void = () => {};

  constructor(
    private readonly deps: SeriesFeedDeps,
    private readonly query: SeriesQuery,
    private readonly sink: SeriesSink,
    private readonly signal: AbortSignal,
  ) {
    this.end = new Promise((resolve, reject) => {
      this.fail = reject;
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Resolves when the signal was aborted; rejects where the sink can be told nothing more. */
  async run(): Promise<void> {
    const { hub, channels } = this.deps;
    const listening = hub.listen(channels.candles(this.query.interval, this.query.symbol), {
      message: (message) => this.hear(message),
      lost: () => this.need('changes'),
    });
    try {
      await Promise.race([within(JOIN_MS, () => this.join(listening.ready)), this.end]);
      this.work().catch(this.fail);
      await this.end;
    } finally {
      listening.stop();
    }
  }

  private async join(listening: Promise<void>): Promise<void> {
    // First the channel, then the snapshot: what happens in between is held.
    await listening;
    await this.snapshot();
  }

  /** Hot. */
  private hear(message: HubMessage): void {
    if (!this.working) this.take(message);
    else if (this.held.length < HELD_MAX) this.held.push(message);
    else this.need('changes');
  }

  private take(message: HubMessage): void {
    const news = newsOf(message);
    if (news === null) this.deps.onRefused(message.text);
    else if (this.epoch !== '' && news.epoch !== this.epoch) this.need('snapshot');
    else if (news.seq <= this.last) return;
    else if (news.type === 'candle' && news.seq === this.last + 1) {
      this.epoch = news.epoch;
      this.last = news.seq;
      this.sink.change(news.candle);
    } else this.need('changes');
  }

  /** The store has to be read. */
  private need(what: 'snapshot' | 'changes'): void {
    if (this.due !== 'snapshot') this.due = what;
    if (this.working) return;
    this.working = true;
    this.work().catch(this.fail);
  }

  private async work(): Promise<void> {
    do {
      const { due } = this;
      this.due = null;
      if (due === 'snapshot') await this.snapshot();
      if (due === 'changes') await this.catchUp();
      await this.sink.drained();
      this.takeHeld();
    } while (this.due !== null && !this.signal.aborted);
    this.working = false;
  }

  /** What is left where the store has to be read again, that reading will cover. */
  private takeHeld(): void {
    const { held } = this;
    this.held = [];
    for (const message of held) {
      if (this.due !== null) return;
      this.take(message);
    }
  }

  private async snapshot(): Promise<void> {
    const { symbol, interval, limit } = this.query;
    const query = { symbol, interval, direction: 'back', from: null, to: null, limit } as const;
    const page = await onceAnswered(() => this.deps.store.candles(query), this.signal);
    if (page === null) return;
    this.epoch = page.epoch;
    this.last = page.seq;
    this.sink.snapshot(page);
  }

  private async catchUp(): Promise<void> {
    const { symbol, interval } = this.query;
    for (let page: ChangesPage | null; ; ) {
      const query = { symbol, interval, after: this.last, limit: CHANGES_AT_ONCE };
      page = await onceAnswered(() => this.deps.store.changes(query), this.signal);
      if (page === null) return;
      const isAnother = this.epoch !== '' && page.epoch !== this.epoch;
      if (isAnother || page.seq < this.last || page.seq - this.last > BEHIND_MAX) {
        this.due = 'snapshot';
        return;
      }
      this.epoch = page.epoch;
      for (const { seq, candleJson } of page.changes) {
        this.last = seq;
        this.sink.change(JSON.parse(candleJson) as WireCandle);
      }
      if (page.changes.length < CHANGES_AT_ONCE) return;
      await this.sink.drained();
    }
  }
}

/** However many feeds hear a message, it is read once. */
const newsOfMessages = new WeakMap<HubMessage, SeriesMessage | null>();

function newsOf(message: HubMessage): SeriesMessage | null {
  const known = newsOfMessages.get(message);
  if (known !== undefined) return known;
  const news = parseNews(message.text);
  newsOfMessages.set(message, news);
  return news;
}

function parseNews(text: string): SeriesMessage | null {
  try {
    return SeriesMessage.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
