import type { JournalHead } from '@candlewire/bus';
import { ENTRY_BARS_MAX, MINUTE_MS, partitionOf } from '@candlewire/contracts';
import type { Store } from '@candlewire/store';
import type { JournalWriter } from '../journal-writer';
import type { Source } from '../sources/source';
import type { FillRange } from './plan';

/** How far a range has come; kept with it, so that another process can go on. */
export interface FillProgress {
  /** The journal with what was appended so far: its identity, and the number of the last entry. */
  readonly journal: JournalHead;
  /** openTime from which on the rest is to be fetched. */
  readonly next: number;
}

/**
 * - `stored`: everything that the source has of the range has been committed.
 * - `appended`: everything stands in the journal, and its owner has not said yet that it has been committed. Looked at
 *   again, and not taken for done: a journal can be lost, and nobody would look for a hole that lies behind newer bars.
 * - `interrupted`: the signal was aborted.
 */
export type FillOutcome = 'stored' | 'appended' | 'interrupted';

export interface FillDeps {
  readonly history: NonNullable<Source['history']>;
  readonly writer: Pick<JournalWriter, 'appendHistory' | 'journalOf'>;
  readonly store: Pick<Store, 'consumed'>;
  /** Counts what was appended. */
  readonly onBars: (count: number) => void;
}

/** The journal that holds the first part of a range was lost: the range has to be fetched anew. */
export class JournalLost extends Error {
  constructor() {
    super('the journal is another one');
    this.name = 'JournalLost';
  }
}

/**
 * Fetches a range and appends it to its partition's journal, from where `progress` says that it was left, if that is
 * still worth something. Repeating any part of it changes nothing in the store.
 * @throws JournalLost, or what the source, the store, or `save` fail with
 */
export async function fillRange(
  range: FillRange,
  progress: FillProgress | null,
  save: (progress: FillProgress) => Promise<void>,
  { history, writer, store, onBars }: FillDeps,
  signal: AbortSignal,
): Promise<FillOutcome> {
  const partition = partitionOf(range.symbol);
  const isKnown = progress !== null && progress.journal.id === writer.journalOf(partition);
  let journal: JournalHead | null = isKnown ? progress.journal : null;
  let next = isKnown ? progress.next : range.from;
  if (next < range.to) {
    for await (const page of history(range.symbol, next, range.to, signal)) {
      for (let at = 0; at < page.length; at += ENTRY_BARS_MAX) {
        const bars = page.slice(at, at + ENTRY_BARS_MAX);
        const head = await writer.appendHistory(partition, bars, signal);
        if (head === null || (journal !== null && head.id !== journal.id)) throw new JournalLost();
        onBars(bars.length);
        journal = head;
        next = bars.at(-1)!.openTime + MINUTE_MS;
        await save({ journal, next });
      }
    }
    if (signal.aborted) return 'interrupted';
    if (journal !== null) await save({ journal, next: range.to });
  }
  if (journal === null) return 'stored';
  const consumed = await store.consumed(partition);
  return consumed.id === journal.id && consumed.last >= journal.last ? 'stored' : 'appended';
}
