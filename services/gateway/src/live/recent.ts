import type { Change } from './change';
import type { Changes, Snapshot } from './reader';

/** So long what was read is good for others. */
const KEPT_MS = 10_000;
const CHANGES_MAX = 64;
/** Of all series together. */
const BYTES_MAX = 64 * 1024 * 1024;

/** What all series of a replica keep. */
export class RecentBudget {
  bytes = 0;
}

/**
 * What was read of a series a moment ago, and each change since: clients that come back together are told the same, and
 * cost one read. It holds every change from some seq on, up to the last that is known; where that cannot be kept up, it is
 * given up, and the store is read again.
 */
export class Recent {
  private changes: Change[] = [];
  /** Every change behind this one, up to `to`, is here; null: nothing is. */
  private after: number | null = null;
  private to = 0;
  private snapshot: { readonly rows: number; readonly page: Snapshot } | null = null;
  private bytes = 0;
  private until = 0;
  private isClosed = false;

  constructor(private readonly budget: RecentBudget) {}

  /** The series went on by one change. */
  push(change: Change): void {
    if (this.after === null || change.seq <= this.to) return;
    this.take(change.frame('candle').length);
    this.changes.push(change);
    this.to = change.seq;
    this.bound();
  }

  /** The series stands there: not all of it was pushed, where a change left no candle behind. */
  reach(seq: number): void {
    if (this.after !== null && seq > this.to) this.clear();
  }

  /** What was read behind `after`, while the series stands at `head`. */
  keep(after: number, { changes, seq, isWhole }: Changes, head: number): void {
    if (this.isClosed || !isWhole || this.covers(after)) return;
    const rest = seq >= head ? [] : this.behind(seq);
    if (rest === null || changes.length + rest.length > CHANGES_MAX) return;
    const { snapshot } = this;
    this.clear();
    this.begin(after, Math.max(seq, head));
    for (const change of [...changes, ...rest]) this.take(change.frame('candle').length);
    this.changes = [...changes, ...rest];
    if (snapshot !== null && this.covers(snapshot.page.seq)) this.keepPage(snapshot.rows, snapshot.page);
    this.bound();
  }

  /** The same of a snapshot. */
  keepSnapshot(rows: number, page: Snapshot, head: number): void {
    if (this.isClosed) return;
    if (!this.covers(page.seq)) {
      if (page.seq < head) return;
      this.clear();
      this.begin(page.seq, page.seq);
    }
    this.keepPage(rows, page);
    this.bound();
  }

  /** The changes behind `after` and the seq that they lead to; null where they are not known here. */
  recall(after: number): { readonly changes: readonly Change[]; readonly seq: number } | null {
    const changes = this.behind(after);
    return changes === null ? null : { changes, seq: this.to };
  }

  /** A snapshot, as long as nothing has changed since: whoever asks for one wants the series as it is. */
  recallSnapshot(rows: number): Snapshot | null {
    const { snapshot } = this;
    return snapshot?.rows === rows && this.covers(snapshot.page.seq) && snapshot.page.seq === this.to
      ? snapshot.page
      : null;
  }

  /** Lets go of what nobody has come for in time. */
  expire(now: number): void {
    if (this.after !== null && now > this.until) this.clear();
  }

  clear(): void {
    this.budget.bytes -= this.bytes;
    this.bytes = 0;
    this.after = null;
    this.changes = [];
    this.snapshot = null;
  }

  /** Keeps nothing any more, whatever is still being read. */
  close(): void {
    this.isClosed = true;
    this.clear();
  }

  private begin(after: number, to: number): void {
    this.after = after;
    this.to = to;
    this.until = performance.now() + KEPT_MS;
  }

  private keepPage(rows: number, page: Snapshot): void {
    this.take(page.frame('candle').length);
    this.snapshot = { rows, page };
  }

  private bound(): void {
    if (this.changes.length > CHANGES_MAX || this.budget.bytes > BYTES_MAX) this.clear();
  }

  private take(bytes: number): void {
    this.bytes += bytes;
    this.budget.bytes += bytes;
  }

  private covers(seq: number): boolean {
    this.expire(performance.now());
    return this.after !== null && seq >= this.after && seq <= this.to;
  }

  private behind(seq: number): Change[] | null {
    return this.covers(seq) ? this.changes.filter((change) => change.seq > seq) : null;
  }
}
