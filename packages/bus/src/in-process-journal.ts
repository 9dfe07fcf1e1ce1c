import { randomUUID } from 'node:crypto';
import { channelsOf } from '@candlewire/contracts';
import type { Append, Appended, Journal, JournalHead, Message, ReadEntry, ReadResult } from './bus';
import { NotLeader } from './errors';
import type { InProcessConnection } from './in-process-connection';
import type { Lead } from './in-process-leader';
import { KEEP_BARS, KEEP_ENTRIES, TRIM_EVERY } from './limits';

const channels = channelsOf();

/** One partition's journal: what stream, hash and scripts are on Redis. */
export class JournalLog {
  private id: string = randomUUID();
  /** Without holes, up to `last`; never empty once there was an entry. */
  private readonly entries: ReadEntry[] = [];
  private last = 0;
  private bars = 0;
  private doneEntry = 0;
  private done = 0;

  get head(): JournalHead {
    return { id: this.id, last: this.last };
  }

  get waiting(): number {
    return Math.max(0, this.bars - this.done);
  }

  /** @returns whether it was appended */
  append({ known, text, bars }: Append): boolean {
    if (known.id !== this.id) return false;
    if (known.last > this.last) {
      this.renew();
      return false;
    }
    this.last++;
    this.bars += bars;
    this.entries.push({ number: this.last, barsTotal: this.bars, text });
    return true;
  }

  read(after: JournalHead, entriesMax: number): ReadResult {
    if (after.id === this.id && (after.last > this.last || after.last + 1 < this.first)) this.renew();
    const at = after.id === this.id ? after.last + 1 - this.first : 0;
    return { head: this.head, entries: this.entries.slice(at, at + entriesMax) };
  }

  consumed(id: string, { number, barsTotal }: ReadEntry): void {
    if (id !== this.id || number <= this.doneEntry || number > this.last) return;
    const before = this.doneEntry;
    this.doneEntry = number;
    this.done = barsTotal;
    if (Math.floor(number / TRIM_EVERY) !== Math.floor(before / TRIM_EVERY)) this.trim();
  }

  private get first(): number {
    return this.last - this.entries.length + 1;
  }

  /** Gives it a new id, from which both ends see that something is lost; it goes on behind what is left. */
  private renew(): void {
    this.id = randomUUID();
    this.doneEntry = this.first - 1;
    // The oldest entry counts as consumed, as on Redis, where nobody knows how many bars it holds.
    this.done = this.entries[0]?.barsTotal ?? 0;
  }

  private trim(): void {
    const oldest = this.entries[0]!;
    if (oldest.number >= this.doneEntry) return;
    const barsPerEntry = Math.max(1, (this.done - oldest.barsTotal) / (this.doneEntry - oldest.number));
    const keep = Math.max(1, Math.min(KEEP_ENTRIES, Math.floor(KEEP_BARS / barsPerEntry)));
    this.entries.splice(0, Math.max(0, this.doneEntry - keep + 1 - oldest.number));
  }
}

/** The journal of a bus within the process. */
export class InProcessJournal implements Journal {
  constructor(
    private readonly logs: Map<number, JournalLog>,
    private readonly lead: Lead,
    private readonly connection: InProcessConnection,
  ) {}

  open(partitions: number): Promise<JournalHead[]> {
    return this.connection.run(() => Array.from({ length: partitions }, (_, partition) => this.log(partition).head));
  }

  async append(
    token: string | null,
    appends: readonly Append[],
    alongside: readonly Message[] = [],
  ): Promise<Appended[]> {
    const { appended, sent } = await this.connection.run(() => {
      if (token !== null && !this.lead.isHeldBy(token)) throw new NotLeader();
      const grown = new Set<number>();
      const appended = appends.map((append) => {
        const log = this.log(append.partition);
        if (log.append(append)) grown.add(append.partition);
        return { head: log.head, waiting: log.waiting };
      });
      const wakeUps = [...grown].map((partition) => ({ channel: channels.journal(partition), text: '' }));
      return { appended, sent: this.connection.send([...wakeUps, ...alongside]) };
    });
    await sent;
    return appended;
  }

  async read(partition: number, after: JournalHead, entriesMax: number): Promise<ReadResult> {
    if (!(entriesMax >= 1)) throw new RangeError('entriesMax must be at least 1');
    return this.connection.run(() => this.log(partition).read(after, entriesMax));
  }

  consumed(partition: number, id: string, entry: ReadEntry): Promise<void> {
    return this.connection.run(() => this.log(partition).consumed(id, entry));
  }

  waiting(partitions: number): Promise<number[]> {
    return this.connection.run(() =>
      Array.from({ length: partitions }, (_, partition) => this.logs.get(partition)?.waiting ?? 0),
    );
  }

  onAppend(partition: number, listener: () => void): Promise<() => Promise<void>> {
    return this.connection.subscribe(channels.journal(partition), () => listener());
  }

  private log(partition: number): JournalLog {
    let log = this.logs.get(partition);
    if (!log) this.logs.set(partition, (log = new JournalLog()));
    return log;
  }
}
