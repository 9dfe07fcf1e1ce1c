import { ROWS_MAX } from './arguments.ts';
import { backoffMs, pause } from './backoff.ts';
import { CandlewireError } from './errors.ts';
import type { ServerMessage } from './link.ts';
import { isPassing, Retries } from './retries.ts';
import type {
  CandleEvent,
  CandlesPage,
  Interval,
  ResetEvent,
  Series,
  SeriesEvent,
  SkippedEvent,
  SnapshotEvent,
} from './types.ts';

/** Of one message: it stays below the server's 16 KiB. */
const SYMBOLS_PER_MESSAGE = 500;
/** The server's limit of rows of one request for snapshots. */
const SNAPSHOT_ROWS_MAX = 100_000;
/** Between attempts to load a page. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/** Where the events of one series go. */
export interface CandleSink {
  event(event: SeriesEvent): void;
  /** The server refuses the series; nothing more comes. */
  failed(error: CandlewireError): void;
}

/** What a feed needs. */
export interface CandleFeedDeps {
  /** The newest `rows` candles over HTTP. */
  loadPage(series: Series, rows: number, signal: AbortSignal): Promise<CandlesPage>;
  /** There is something to say: {@link CandleFeed.next}. */
  wake(): void;
  /** Number of a request. */
  nextId(): number;
}

/**
 * One who follows a series.
 * - `waiting`: for the snapshot that was asked for on the socket
 * - `loading`: came when the series was live: its snapshot is loaded over HTTP, and what happens meanwhile is held (of each
 *   candle the newest state). A second snapshot on the socket would let the others miss what lies between.
 * - `live`: has had a snapshot, and gets all after `seq`
 */
class Follower {
  mode: 'waiting' | 'loading' | 'live' = 'waiting';
  seq = 0;
  readonly held = new Map<string, CandleEvent>();
  loading: AbortController | null = null;
  /** Its page could not be had, and is not being asked for now. */
  isPausing = false;

  constructor(
    readonly history: number,
    readonly sink: CandleSink,
  ) {}

  begin(snapshot: SnapshotEvent): void {
    this.stopLoading();
    this.mode = 'live';
    this.seq = snapshot.seq;
    const candles = this.history > 0 ? snapshot.candles.slice(-this.history) : [];
    this.sink.event({ ...snapshot, candles });
    const held = [...this.held.values()].sort((a, b) => a.seq - b.seq);
    this.held.clear();
    for (const event of held) if (event.epoch === snapshot.epoch) this.take(event);
  }

  take(event: CandleEvent): void {
    if (this.mode === 'loading') this.held.set(event.candle.timestamp, event);
    if (this.mode !== 'live' || event.seq <= this.seq) return;
    this.seq = event.seq;
    this.sink.event(event);
  }

  reset(event: ResetEvent): void {
    this.stopLoading();
    this.held.clear();
    if (this.mode === 'live') this.sink.event(event);
    this.mode = 'waiting';
  }

  stopLoading(): void {
    this.loading?.abort();
    this.loading = null;
    this.isPausing = false;
  }
}

/**
 * A series that somebody follows, or that is being left.
 * - `out`: on this connection nothing was asked, or in vain
 * - `asked`: a snapshot was, or what changed after the position; nothing came of it yet
 * - `refused`: cannot be had now, or another one of the same message cannot: it is asked for again after a pause. What comes
 *   meanwhile is taken, since the server may follow it, and would not tell that again.
 * - `live`: something came of it; every change after the position does
 * - `leaving`: unsubscribed, not yet acknowledged. Who comes now waits, so that nothing of before is taken for an answer.
 */
interface Topic extends Series {
  phase: 'out' | 'asked' | 'refused' | 'live' | 'leaving';
  /** All up to it is known; null where nothing is. */
  position: { epoch: string; seq: number } | null;
  /** Of the last thing that was asked. */
  requestId: number;
  rowsAsked: number;
  /** Asked for with others it was refused: whose fault that was shows alone. */
  isAlone: boolean;
  failures: number;
  readonly followers: Set<Follower>;
}

/**
 * Follows series on one connection at a time: decides what is to be said to the server ({@link next}), takes what it says,
 * and hands on to each follower a snapshot and then every change, without hole or repeat, over lost connections too.
 */
export class CandleFeed {
  private readonly topics = new Map<string, Topic>();
  /** Topics that there may be something to say of. */
  private readonly dirty = new Set<Topic>();
  private readonly retries = new Retries();
  private followerCount = 0;

  constructor(private readonly deps: CandleFeedDeps) {}

  /** Nobody follows anything. */
  get isIdle(): boolean {
    return this.followerCount === 0;
  }

  /** Follows a series from a snapshot of `history` candles on, until the function that it gives is called. */
  follow({ symbol, interval }: Series, history: number, sink: CandleSink): () => void {
    const key = keyOf(symbol, interval);
    let topic = this.topics.get(key);
    if (!topic) {
      topic = {
        symbol,
        interval,
        phase: 'out',
        position: null,
        requestId: 0,
        rowsAsked: 0,
        isAlone: false,
        failures: 0,
        followers: new Set(),
      };
      this.topics.set(key, topic);
    }
    const follower = new Follower(history, sink);
    topic.followers.add(follower);
    this.followerCount++;
    if (topic.position) void this.load(topic, follower);
    this.touch(topic);
    return () => this.unfollow(topic, follower);
  }

  /**
   * There is a connection. Whoever waits to try again, as it does longer and longer where nobody answers, need not. What is
   * being loaded goes on: connections may come and go faster than a page.
   */
  opened(): void {
    for (const topic of this.topics.values()) {
      for (const follower of topic.followers) if (follower.isPausing) void this.load(topic, follower);
    }
  }

  /** The connection is gone: everything is to be asked for again, from its position on. */
  lost(): void {
    for (const topic of this.topics.values()) {
      topic.phase = 'out';
      if (topic.followers.size > 0) this.touch(topic);
      else this.forget(topic);
    }
  }

  /** Everything ends; the followers are told `error`, where there is one. */
  end(error?: CandlewireError): void {
    this.retries.clear();
    for (const topic of this.topics.values()) this.refuse(topic, error);
    this.topics.clear();
    this.dirty.clear();
  }

  /**
   * The next message for the server, null where there is none. It counts as sent. Those that name many series come first:
   * what is resumed, one by one, may take long.
   */
  next(): object | null {
    let resumed: Topic | undefined;
    for (const topic of this.dirty) {
      if (isDue(topic) && topic.position) {
        resumed ??= topic;
        continue;
      }
      this.dirty.delete(topic);
      if (isDue(topic)) return this.join(topic);
      if (isLeft(topic)) return this.leave(topic);
      if (topic.followers.size === 0 && topic.phase === 'out') this.forget(topic);
    }
    if (!resumed) return null;
    this.dirty.delete(resumed);
    return this.resume(resumed);
  }

  /** Takes a message, if it is of candles. */
  take(message: ServerMessage): void {
    if (message.type === 'candle') this.candle(message as unknown as CandleEvent);
    else if (message.type === 'snapshot') this.snapshot(message as unknown as SnapshotEvent);
    else if (message.type === 'reset') this.reset(message as unknown as ResetEvent);
    else if (message.type === 'skipped') this.skipped(message as unknown as SkippedEvent);
    else if (message.type === 'unsubscribed') this.left(message.id);
    else if (message.type === 'error') this.refused(message);
  }

  private join(topic: Topic): object {
    const rows = rowsOf(topic);
    const fits = (other: Topic) => isDue(other) && !other.position && !other.isAlone && rowsOf(other) === rows;
    const group = topic.isAlone ? [topic] : this.group(topic, Math.floor(SNAPSHOT_ROWS_MAX / rows), fits);
    for (const one of group) one.rowsAsked = rows;
    return this.say('subscribe', group, 'asked', { snapshot: rows });
  }

  private resume(topic: Topic): object {
    topic.rowsAsked = rowsOf(topic);
    const { epoch, seq } = topic.position!;
    return this.say('subscribe', [topic], 'asked', { snapshot: topic.rowsAsked, since: { epoch, seq } });
  }

  private leave(topic: Topic): object {
    topic.position = null;
    const group = this.group(topic, SYMBOLS_PER_MESSAGE, isLeft);
    for (const one of group) one.position = null;
    return this.say('unsubscribe', group, 'leaving', {});
  }

  /** `topic` and others that the same message can name. */
  private group(topic: Topic, max: number, fits: (other: Topic) => boolean): readonly Topic[] {
    const group = [topic];
    for (const other of this.dirty) {
      if (group.length >= Math.min(max, SYMBOLS_PER_MESSAGE)) break;
      if (other.interval !== topic.interval || !fits(other)) continue;
      this.dirty.delete(other);
      group.push(other);
    }
    return group;
  }

  private say(type: string, group: readonly Topic[], phase: Topic['phase'], more: object): object {
    const id = this.deps.nextId();
    for (const topic of group) {
      topic.phase = phase;
      topic.requestId = id;
    }
    const symbols = group.map(({ symbol }) => symbol);
    return { type, id, channel: 'candles', symbols, intervals: [group[0]!.interval], ...more };
  }

  private snapshot(event: SnapshotEvent): void {
    const topic = this.topicOf(event);
    if (!topic) return;
    topic.phase = 'live';
    topic.failures = 0;
    topic.isAlone = false;
    topic.position = { epoch: event.epoch, seq: event.seq };
    for (const follower of [...topic.followers]) {
      const isEnough = follower.history <= topic.rowsAsked || event.candles.length < topic.rowsAsked;
      if (isEnough) follower.begin(event);
      else void this.load(topic, follower);
    }
  }

  /** Hot. */
  private candle(event: CandleEvent): void {
    const topic = this.topicOf(event);
    if (!topic?.position) return;
    if (event.epoch !== topic.position.epoch) this.restart(topic, event);
    if (event.seq <= (topic.position?.seq ?? Number.POSITIVE_INFINITY)) return;
    topic.phase = 'live';
    topic.position.seq = event.seq;
    topic.failures = 0;
    for (const follower of topic.followers) follower.take(event);
  }

  private reset(event: ResetEvent): void {
    const topic = this.topicOf(event);
    if (!topic) return;
    topic.phase = 'asked';
    topic.position = null;
    for (const follower of [...topic.followers]) follower.reset(event);
  }

  /** Another epoch without a word about it: taken for a reset that was lost, so the snapshot is asked for. */
  private restart(topic: Topic, { symbol, interval, epoch, seq }: CandleEvent): void {
    this.reset({ type: 'reset', symbol, interval, epoch, seq });
    topic.phase = 'out';
    this.touch(topic);
  }

  private skipped(event: SkippedEvent): void {
    for (const follower of [...(this.topicOf(event)?.followers ?? [])]) follower.sink.event(event);
  }

  /** The topic that a message is for; none where it is of an earlier subscription. */
  private topicOf({ symbol, interval }: Series): Topic | undefined {
    const topic = this.topics.get(keyOf(symbol, interval));
    return topic && topic.phase !== 'out' && topic.phase !== 'leaving' ? topic : undefined;
  }

  private left(id: unknown): void {
    for (const topic of this.topics.values()) {
      if (topic.requestId !== id || topic.phase !== 'leaving') continue;
      topic.phase = 'out';
      this.touch(topic);
    }
  }

  private refused({ id, code, message }: ServerMessage): void {
    this.left(id);
    const isMeant = ({ phase, requestId }: Topic) => phase === 'asked' && requestId === id;
    const group = [...this.topics.values()].filter(isMeant);
    if (isPassing(code)) {
      this.postpone(group);
      return;
    }
    for (const topic of group) {
      topic.phase = 'out';
      if (group.length > 1) {
        topic.isAlone = true;
        this.touch(topic);
      } else {
        this.forget(topic);
        this.refuse(topic, new CandlewireError(String(message), { code: String(code), status: 400 }));
      }
    }
  }

  /** Asks for them again after a pause, together, but for those of which something came by then. */
  private postpone(group: readonly Topic[]): void {
    if (group.length === 0) return;
    for (const topic of group) {
      topic.phase = 'refused';
      topic.failures++;
    }
    const failures = Math.max(...group.map((topic) => topic.failures));
    this.retries.later(failures, () => {
      for (const topic of group) if (topic.phase === 'refused') this.touch(topic);
    });
  }

  private refuse(topic: Topic, error: CandlewireError | undefined): void {
    for (const follower of [...topic.followers]) {
      this.unfollow(topic, follower);
      if (error) follower.sink.failed(error);
    }
  }

  private unfollow(topic: Topic, follower: Follower): void {
    follower.stopLoading();
    if (!topic.followers.delete(follower)) return;
    this.followerCount--;
    this.touch(topic);
  }

  private forget(topic: Topic): void {
    const key = keyOf(topic.symbol, topic.interval);
    this.dirty.delete(topic);
    if (this.topics.get(key) === topic) this.topics.delete(key);
  }

  /** Brings a follower into a live series. What is published was committed before, so the page holds all that came before it. */
  private async load(topic: Topic, follower: Follower): Promise<void> {
    follower.stopLoading();
    follower.mode = 'loading';
    const { signal } = (follower.loading = new AbortController());
    for (let attempt = 1; ; attempt++) {
      try {
        const snapshot = await this.loadSnapshot(topic, follower.history, signal);
        if (signal.aborted) return;
        if (snapshot.epoch === topic.position?.epoch) return follower.begin(snapshot);
      } catch (err) {
        if (signal.aborted) return;
        if (err instanceof CandlewireError && !err.retryable) {
          this.unfollow(topic, follower);
          return follower.sink.failed(err);
        }
      }
      // Another epoch: the server is about to say so on the socket, which ends this.
      follower.isPausing = true;
      await pause(backoffMs(attempt, RETRY_MIN_MS, RETRY_MAX_MS), signal).catch(() => {});
      if (signal.aborted) return;
      follower.isPausing = false;
    }
  }

  private async loadSnapshot(topic: Topic, history: number, signal: AbortSignal): Promise<SnapshotEvent> {
    const { symbol, interval } = topic;
    try {
      const { epoch, seq, candles } = await this.deps.loadPage(topic, Math.max(1, history), signal);
      return { type: 'snapshot', symbol, interval, epoch, seq, candles };
    } catch (err) {
      if (!(err instanceof CandlewireError) || err.code !== 'unknown_symbol') throw err;
      // Followed, and nobody has sent it yet: its first change is the beginning.
      return { type: 'snapshot', symbol, interval, epoch: topic.position?.epoch ?? '', seq: 0, candles: [] };
    }
  }

  private touch(topic: Topic): void {
    this.dirty.add(topic);
    this.deps.wake();
  }
}

/** Somebody follows it, and it is not asked for. */
function isDue({ phase, followers }: Topic): boolean {
  return followers.size > 0 && (phase === 'out' || phase === 'refused');
}

/** The server tells it, or may, and nobody follows it. */
function isLeft({ phase, followers }: Topic): boolean {
  return followers.size === 0 && phase !== 'out' && phase !== 'leaving';
}

/** A snapshot of one row at least: it says from where on nothing is missing. */
function rowsOf({ followers }: Topic): number {
  let rows = 1;
  for (const { history } of followers) rows = Math.max(rows, history);
  return Math.min(rows, ROWS_MAX);
}

function keyOf(symbol: string, interval: Interval): string {
  return `${symbol} ${interval}`;
}
