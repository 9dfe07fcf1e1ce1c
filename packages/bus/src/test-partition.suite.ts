import type { Appended, Bus, Journal, JournalHead, ReadEntry } from './bus';

export const NOWHERE: JournalHead = { id: '', last: 0 };

/** Two buses in one room; `empty`, where it can be, forgets what was kept there. */
export interface JournalRoom {
  readonly one: Bus;
  readonly two: Bus;
  readonly empty: (() => Promise<void>) | undefined;
}

/** A partition that no other test uses, between one who mostly appends and another who mostly reads. */
export class TestPartition {
  private static used = 0;
  readonly number = ++TestPartition.used;
  readonly journal: Journal;
  readonly other: Journal;

  constructor(readonly room: JournalRoom) {
    this.journal = room.one.journal;
    this.other = room.two.journal;
  }

  async open(by: Journal = this.journal): Promise<JournalHead> {
    return (await by.open(this.number + 1))[this.number]!;
  }

  async append(known: JournalHead, text: string, bars = 1, by: Journal = this.journal): Promise<Appended> {
    const [appended] = await by.append(null, [{ partition: this.number, known, text, bars }]);
    return appended!;
  }

  async appendAll(known: JournalHead, texts: readonly string[], bars = 1): Promise<JournalHead> {
    let head = known;
    for (const text of texts) head = (await this.append(head, text, bars)).head;
    return head;
  }

  /** Bars that wait for its owner. */
  async waiting(): Promise<number> {
    return (await this.journal.waiting(this.number + 1))[this.number]!;
  }

  async readAll(by: Journal = this.journal): Promise<ReadEntry[]> {
    return [...(await by.read(this.number, NOWHERE, 1_000_000)).entries];
  }
}

export const texts = (entries: readonly ReadEntry[]) => entries.map((entry) => entry.text);
export const numbers = (entries: readonly ReadEntry[]) => entries.map((entry) => entry.number);
