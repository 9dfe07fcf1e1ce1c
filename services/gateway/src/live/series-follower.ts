import type { Format } from './change';
import type { Open } from './channels';
import type { LiveClient, Task } from './client';
import { frameOf } from './frame';
import { BEHIND_MAX, type Follower, type Series } from './series';

/** Rows of the snapshot after a reset, where the client did not say how many it wants. */
export const RESET_ROWS = 100;

/** Where a client begins: with so many candles, behind a change that it knows, with the first change of all, or with what comes. */
export type Start =
  | { readonly from: 'snapshot'; readonly rows: number }
  | { readonly from: 'since'; readonly epoch: string; readonly seq: number; readonly rows: number }
  | { readonly from: 'first' }
  | { readonly from: 'present' };

/**
 * One client that follows one series: a cursor, the last change that the client knows. Live, it stands in the series'
 * list and is told what comes; otherwise it is told from the store, at the client's pace, until it has come so far
 * that it can join. Joining, `since`, and whoever reads too slowly: all the same.
 */
export class SeriesFollower implements Follower, Task {
  epoch = '';
  sent = 0;
  at = -1;
  isOver = false;
  /** What it has to be told before it can join; null: it is live. */
  private due: 'snapshot' | 'reset' | 'since' | 'first' | 'present' | 'changes' | null;
  private rows: number;
  /** Snapshots that were asked for and not told. */
  private owed = 1;
  /** It reads too slowly: it is told how many states it missed. */
  private isBehind = false;
  private isWaiting = false;

  constructor(
    private readonly open: Open<Series>,
    readonly client: LiveClient,
    readonly format: Format,
    start: Start,
  ) {
    this.due = start.from;
    this.rows = 'rows' in start ? start.rows : RESET_ROWS;
    if (start.from === 'since') {
      this.epoch = start.epoch;
      this.sent = start.seq;
    }
    this.wait();
  }

  private get series(): Series {
    return this.open.hearer;
  }

  get hasBegun(): boolean {
    return this.epoch !== '';
  }

  /** Tells the series anew, with so many candles. */
  again(rows: number): void {
    this.rows = rows;
    if (this.due === 'snapshot') this.owed++;
    else this.startWith('snapshot');
  }

  stop(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.series.leave(this);
    this.open.release();
  }

  fallBehind(): void {
    this.isBehind = true;
    this.due = 'changes';
    this.wait();
  }

  startOver(): void {
    this.startWith('reset');
  }

  async step(): Promise<void> {
    this.isWaiting = false;
    await this.open.ready;
    const { due } = this;
    // Whoever reads the series changes may find that something else is due by then: that is for the next step.
    if (due === 'snapshot' || due === 'reset') await this.tellSnapshot(due);
    else if (due === 'changes') await this.tellChanges();
    else if (due !== null) await this.findStart(due);
  }

  private startWith(due: 'snapshot' | 'reset'): void {
    this.series.leave(this);
    // A reset that is due brings a snapshot as well.
    if (this.due !== 'reset') this.due = due;
    this.owed = 1;
    this.wait();
  }

  private wait(): void {
    if (this.isWaiting || this.isOver) return;
    this.isWaiting = true;
    this.client.work.add(this);
  }

  /** Something was told since the read began that this answer must not follow. */
  private isStale(due: typeof this.due): boolean {
    return this.isOver || this.due !== due;
  }

  private async tellSnapshot(due: 'snapshot' | 'reset'): Promise<void> {
    const page = await this.series.snapshot(this.rows);
    await this.client.work.pace(() => {
      if (this.isStale(due)) return this.wait();
      const { epoch, seq } = page;
      if (due === 'reset') {
        this.series.counters.resets++;
        if (this.format === 'candle') this.tell({ type: 'reset', ...this.series.name, epoch, seq });
      }
      this.client.outbox.append(page.frame(this.format));
      this.isBehind = false;
      if (--this.owed > 0) this.wait();
      else this.arrive(epoch, seq);
    });
  }

  private async tellChanges(): Promise<void> {
    const after = this.sent;
    const page = await this.series.changes(this.epoch, after);
    await this.client.work.pace(() => {
      // It may have been told a snapshot meanwhile, and be due for what changed after that.
      if (this.isStale('changes') || this.sent !== after) return this.wait();
      const { epoch, seq, changes, isWhole } = page;
      if (epoch !== this.epoch || seq < this.sent || seq - this.sent > BEHIND_MAX) return this.startOver();
      // Whoever asked together with somebody further back may be told nothing yet.
      const to = isWhole ? seq : (changes.at(-1)?.seq ?? this.sent);
      if (this.isBehind) this.tellSkipped(to - this.sent - changes.length);
      for (const change of changes) this.client.outbox.append(change.frame(this.format));
      if (isWhole) return this.arrive(epoch, to);
      this.sent = to;
      this.wait();
    });
  }

  private async findStart(due: 'since' | 'first' | 'present'): Promise<void> {
    if (due === 'since' && this.series.isAt(this.epoch, this.sent)) return this.arrive(this.epoch, this.sent);
    // What changed has to be read in any case: in a storm of clients that come back, no read more than that.
    if (due === 'since' && this.series.isBeyond(this.epoch, this.sent)) {
      this.due = 'changes';
      return this.wait();
    }
    const { epoch, seq } = await this.series.readHead();
    if (this.isStale(due)) return this.wait();
    if (due === 'present') return this.arrive(epoch, seq);
    if (due === 'first') this.epoch = epoch;
    if (epoch !== this.epoch || seq < this.sent || seq - this.sent > BEHIND_MAX) return this.startOver();
    if (seq === this.sent) return this.arrive(epoch, seq);
    this.due = 'changes';
    this.wait();
  }

  /** The client knows everything up to this change: it joins, where nothing came meanwhile. */
  private arrive(epoch: string, seq: number): void {
    this.epoch = epoch;
    this.sent = seq;
    this.due = null;
    if (this.series.join(this)) {
      this.isBehind = false;
      return;
    }
    this.due = 'changes';
    this.wait();
  }

  private tellSkipped(count: number): void {
    if (count <= 0) return;
    this.series.counters.skipped += count;
    const { symbol, interval } = this.series.name;
    if (this.format === 'candle') this.tell({ type: 'skipped', symbol, interval, count });
  }

  private tell(message: object): void {
    this.client.outbox.append(frameOf(JSON.stringify(message)));
  }
}
