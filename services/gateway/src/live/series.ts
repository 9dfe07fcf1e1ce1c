import { candleMessagePrefix, SeriesMessage } from '@candlewire/contracts';
import { Change, type Format, type SeriesName } from './change';
import type { LiveClient } from './client';
import type { LiveCounters } from './counters';
import type { Flushable, Flusher } from './flusher';
import type { Changes, Head, SeriesReader, Snapshot } from './reader';
import { Recent, type RecentBudget } from './recent';

/** Messages kept while the store is read; what comes beyond them is read again. */
const HELD_MAX = 1_000;
/** Whoever is further behind starts again with a snapshot. */
export const BEHIND_MAX = 10_000;
const COMMA = 0x2c;
const ZERO = 0x30;
const BRACE = 0x7d;

/** Whoever follows a series: a cursor in it. */
export interface Follower {
  readonly client: LiveClient;
  readonly format: Format;
  readonly epoch: string;
  /** Seq of the last change that was sent. */
  sent: number;
  /** Place in the series' list; -1: not live. Only the series changes it. */
  at: number;
  /** The series has let it go: its client reads too slowly. */
  fallBehind(): void;
  /** The series has let it go: what it knows is void. */
  startOver(): void;
}

export interface SeriesDeps {
  readonly reader: SeriesReader;
  readonly flusher: Flusher;
  readonly counters: LiveCounters;
  readonly budget: RecentBudget;
  /** Hears of a message on the bus that is none. */
  readonly onRefused: (text: string) => void;
  /** For what fails and is nobody's mistake. */
  readonly onFailure: (err: unknown) => void;
}

/**
 * One series as this replica hears it: the changes on its channel in the order of their seq, and those who follow.
 *
 * States: `unknown`, until the first message or read of the store says where the series stands; `live`, while each
 * message is the successor of the one before; and `healing`, from whatever breaks that succession (a message lost, a
 * `changed`, another epoch) until the store has told what is missing, once for all who follow. Messages are published
 * after their commit, so what a message tells of is in the store whenever the message is here. What somebody else reads is
 * taken for where the series stands while that is unknown; later it can only be a reason to heal, since it may be old.
 */
export class Series implements Flushable {
  private state: 'unknown' | 'live' | 'healing' = 'unknown';
  private epoch = '';
  /** Seq of the last change that is known here, whether or not it was handed to those who follow. */
  private head = 0;
  /** Bytes before the seq in the messages of this epoch. */
  private prefix = Buffer.alloc(0);
  /** Changes that were not handed over yet; the first of them follows on `handed`. */
  private batch: Change[] = [];
  private handed = 0;
  /** While healing: messages that may follow on what is being read, and whether others were heard since that began. */
  private held: Change[] = [];
  private again = false;
  /** How often messages may have been lost. */
  private losses = 0;
  private readonly recent: Recent;
  private readonly followers: { readonly [format in Format]: Follower[] } = { candle: [], bar: [] };

  constructor(
    readonly name: SeriesName,
    private readonly deps: SeriesDeps,
  ) {
    this.recent = new Recent(deps.budget);
  }

  /** What the store says, or what it said a moment ago where that leads on to what is known since. */
  async snapshot(rows: number): Promise<Snapshot> {
    const known = this.state === 'live' ? this.recent.recallSnapshot(rows) : null;
    if (known !== null) return known;
    const page = await this.read(() => this.deps.reader.snapshot(rows));
    if (this.isKept(page.epoch)) this.recent.keepSnapshot(rows, page, this.head);
    return page;
  }

  /** Likewise, what changed behind `after`. */
  async changes(epoch: string, after: number): Promise<Changes> {
    const known = this.isKept(epoch) ? this.recent.recall(after) : null;
    if (known !== null) {
      this.deps.counters.storeReadsShared++;
      return { epoch, ...known, isWhole: true };
    }
    const page = await this.read(() => this.deps.reader.changes(after));
    if (this.isKept(page.epoch)) this.recent.keep(after, page, this.head);
    return page;
  }

  /** Where the series stands, as the store says. */
  readHead(): Promise<Head> {
    return this.read(() => this.deps.reader.head());
  }

  private async read<Answer extends Head>(ask: () => Promise<Answer>): Promise<Answer> {
    const { epoch, head, losses } = this;
    const answer = await ask();
    if (this.state === 'unknown') {
      // What was read before a loss may lack what was lost, and no message would tell.
      if (losses === this.losses) this.begin(answer.epoch, answer.seq);
    } else if (answer.epoch !== this.epoch || (epoch === this.epoch && answer.seq < head)) {
      // Another epoch, or less than was known when it was asked for: a read from now on tells which of the two holds.
      this.heal();
    }
    return answer;
  }

  /** Lets go of what was kept for others. */
  tidy(now: number): void {
    this.recent.expire(now);
  }

  /** Nobody will hear of the series here any more. */
  close(): void {
    this.recent.close();
  }

  get counters(): LiveCounters {
    return this.deps.counters;
  }

  /** A message came on the channel. Hot. */
  hear(bytes: Buffer): void {
    this.deps.counters.messagesIn++;
    const seq = this.seqOf(bytes);
    if (seq === this.head + 1 && this.state === 'live') this.take(seq, bytes);
    else this.hearOther(seq, bytes);
  }

  /** Whether the series is known to stand there. */
  isAt(epoch: string, seq: number): boolean {
    return this.state === 'live' && this.epoch === epoch && this.head === seq;
  }

  /** Whether the series is known to stand further on, no further than a client can be told change by change. */
  isBeyond(epoch: string, seq: number): boolean {
    return this.state === 'live' && this.epoch === epoch && seq < this.head && this.head - seq <= BEHIND_MAX;
  }

  /** Messages may have been lost. Where nobody would be told, it is unknown again where the series stands. */
  lost(): void {
    this.losses++;
    this.recent.clear();
    // What is being read may be too old already.
    if (this.state === 'healing') this.again = true;
    else if (!this.isFollowed()) this.state = 'unknown';
  }

  /** The store says that the series stands there: if that is news, messages were lost. */
  compare(epoch: string, seq: number): void {
    if (this.state !== 'unknown' && (epoch !== this.epoch || seq > this.head)) this.heal();
  }

  /**
   * From here on the follower is told each change behind the one that it knows.
   * @returns false where it misses some that were handed over already
   */
  join(follower: Follower): boolean {
    if (this.state === 'unknown' || follower.epoch !== this.epoch || follower.sent < this.handed) return false;
    const others = this.followers[follower.format];
    follower.at = others.length;
    others.push(follower);
    return true;
  }

  leave(follower: Follower): void {
    if (follower.at < 0) return;
    const others = this.followers[follower.format];
    const last = others.pop()!;
    if (last !== follower) {
      others[follower.at] = last;
      last.at = follower.at;
    }
    follower.at = -1;
  }

  /** Hands what came since the last time to all who follow: whoever reads too slowly leaves. Hot. */
  flush(): void {
    const { batch, handed } = this;
    this.batch = [];
    this.handed = this.head;
    try {
      this.hand('candle', batch, handed);
      this.hand('bar', batch, handed);
    } catch (err) {
      // A message that is none after all: they are told what the store says, which is nothing to those who were told.
      this.deps.onFailure(err);
      this.recent.clear();
      this.dismiss((follower) => follower.fallBehind());
    }
  }

  private hand(format: Format, batch: readonly Change[], handed: number): void {
    const followers = this.followers[format];
    if (followers.length === 0 || batch.length === 0) return;
    const bytes = batch.length === 1 ? batch[0]!.frame(format) : Buffer.concat(batch.map((one) => one.frame(format)));
    // From the end, since who leaves is replaced by the last.
    for (let i = followers.length - 1; i >= 0; i--) {
      const follower = followers[i]!;
      const { client, sent } = follower;
      if (client.isSlow()) {
        this.leave(follower);
        follower.fallBehind();
      } else {
        if (sent === handed) client.outbox.append(bytes, batch.length);
        else for (const one of batch) if (one.seq > sent) client.outbox.append(one.frame(format), 1);
        if (sent < this.handed) follower.sent = this.handed;
      }
    }
  }

  /** The number in a candle message of the present epoch; 0 for anything else, one that is cut off too. Hot. */
  private seqOf(bytes: Buffer): number {
    const { length } = this.prefix;
    if (length === 0 || bytes.length <= length || bytes[bytes.length - 1] !== BRACE) return 0;
    if (this.prefix.compare(bytes, 0, length) !== 0) return 0;
    let seq = 0;
    for (let i = length; i < bytes.length && bytes[i] !== COMMA; i++) seq = seq * 10 + bytes[i]! - ZERO;
    return seq;
  }

  private take(seq: number, bytes: Buffer): void {
    if (this.isFollowed()) this.queue(Change.ofMessage(this.name, seq, bytes));
    else this.recent.clear();
    this.advance(seq);
  }

  private queue(change: Change): void {
    if (this.batch.length === 0) this.deps.flusher.channel(this);
    this.batch.push(change);
    this.recent.push(change);
  }

  private advance(seq: number): void {
    this.head = seq;
    this.recent.reach(seq);
    if (this.batch.length === 0) this.handed = seq;
  }

  private isKept(epoch: string): boolean {
    return this.state === 'live' && this.epoch === epoch;
  }

  /** Somebody follows, or may still join before what was gathered is handed over. */
  isFollowed(): boolean {
    return this.followers.candle.length > 0 || this.followers.bar.length > 0 || this.batch.length > 0;
  }

  private hearOther(seq: number, bytes: Buffer): void {
    const news = seq > 0 ? { type: 'candle', epoch: this.epoch, seq } : parseNews(bytes);
    if (news === null) this.deps.onRefused(bytes.toString());
    else if (this.state === 'unknown') this.begin(news.epoch, news.seq);
    else if (news.epoch !== this.epoch) this.heal();
    else if (news.seq > this.head) {
      const isHeld = news.type === 'candle' && this.held.length < HELD_MAX;
      if (isHeld) this.held.push(Change.ofMessage(this.name, news.seq, bytes));
      if (!isHeld || this.state === 'live') this.heal();
    }
  }

  private begin(epoch: string, seq: number): void {
    this.state = 'live';
    this.enter(epoch, seq);
  }

  private enter(epoch: string, seq: number): void {
    const { symbol, interval } = this.name;
    this.epoch = epoch;
    this.head = this.handed = seq;
    this.recent.clear();
    this.prefix = Buffer.from(candleMessagePrefix(symbol, interval, epoch));
  }

  /** The store has to be read, from now on. */
  private heal(): void {
    this.again = true;
    if (this.state === 'healing') return;
    this.state = 'healing';
    this.deps.counters.gapsHealed++;
    this.healed().catch(this.deps.onFailure);
  }

  private async healed(): Promise<void> {
    try {
      for (let isWhole = false; !isWhole || this.again; ) {
        this.again = false;
        isWhole = await this.readOn();
        this.takeHeld();
      }
    } finally {
      // Where reading failed for good, the next message or look at the heads begins again.
      this.state = 'live';
      this.held = [];
    }
  }

  /** @returns whether that was all */
  private async readOn(): Promise<boolean> {
    const { epoch, seq, changes, isWhole } = await this.deps.reader.changes(this.head);
    if (epoch !== this.epoch || seq < this.head || seq - this.head > BEHIND_MAX) {
      this.startOver(epoch, seq);
      return true;
    }
    if (this.isFollowed()) for (const change of changes) this.queue(change);
    else this.recent.clear();
    this.advance(isWhole ? seq : changes.at(-1)!.seq);
    return isWhole;
  }

  /** What was heard while the store was read, as far as it follows on that: the rest is in the store by now. */
  private takeHeld(): void {
    const { held } = this;
    this.held = [];
    for (const change of held) {
      if (change.seq <= this.head) continue;
      if (change.seq !== this.head + 1) {
        this.again = true;
        return;
      }
      if (this.isFollowed()) this.queue(change);
      else this.recent.clear();
      this.advance(change.seq);
    }
  }

  /** The series is another one, or too much is missing: all who follow begin anew. */
  private startOver(epoch: string, seq: number): void {
    if (this.batch.length > 0) this.flush();
    this.enter(epoch, seq);
    // Its numbers were those of what was before.
    this.held = [];
    this.dismiss((follower) => follower.startOver());
  }

  private dismiss(tell: (follower: Follower) => void): void {
    for (const follower of Object.values(this.followers).flat()) {
      this.leave(follower);
      tell(follower);
    }
  }
}

function parseNews(bytes: Buffer): Pick<SeriesMessage, 'type' | 'epoch' | 'seq'> | null {
  try {
    return SeriesMessage.parse(JSON.parse(bytes.toString()));
  } catch {
    return null;
  }
}
