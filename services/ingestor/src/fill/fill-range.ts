import type { JournalHead } from '@candlewire/bus';
import { type Bar, MINUTE_MS, partitionOf } from '@candlewire/contracts';
import type { Store } from '@candlewire/store';
import type { JournalWriter } from '../journal-writer';
import type { HistoryPage, Source } from '../sources/source';
import type { Time } from '../time';
import type { FillRange } from './plan';

/**
 * An updated bar may follow a minute that ended more recently, and has to win against what history said: such a minute's
 * bar is a first delivery, and the minute not answered yet.
 */
const UPDATED_WITHIN_MS = 60_000;
/** What history did not answer yet is not asked for again sooner, nor much later. */
const ASK_AGAIN_MIN_MS = 5_000;
const ASK_AGAIN_MAX_MS = 1_200_000;

/** How far a range has come; kept with it, so that another process can go on. */
export interface FillProgress {
  /** The journal with what was appended so far: its identity, and the number of the last entry. null: nothing was. */
  readonly journal: JournalHead | null;
  /** Up to here history has answered, and its bars stand in that journal. */
  readonly next: number;
  /** When the first of it was fetched, epoch ms. */
  readonly fetchedAt: number;
  /** When the rest can be asked for, epoch ms; 0: at once. */
  readonly notBefore: number;
}

/**
 * - `stored`: everything up to `next` has been answered, and what the source had of it been committed.
 * - `appended`: it stands in the journal, and its owner has not said yet that it has been committed. Looked at again, and
 *   not taken for done: a journal can be lost.
 * - `interrupted`: the signal was aborted.
 */
export type FillOutcome =
  | { readonly state: 'stored'; readonly progress: FillProgress }
  | { readonly state: 'appended' | 'interrupted' };

export interface FillDeps {
  readonly history: NonNullable<Source['history']>;
  readonly writer: Pick<JournalWriter, 'appendHistory' | 'journalOf'>;
  readonly store: Pick<Store, 'consumed'>;
  /** Waits until a request may be made. */
  readonly turn: (signal: AbortSignal) => Promise<void>;
  readonly time: Pick<Time, 'now'>;
}

/** The journal that holds the first part of a range was lost: the range has to be fetched anew. */
export class JournalLost extends Error {
  constructor() {
    super('the journal is another one');
    this.name = 'JournalLost';
  }
}

/**
 * Fetches a range and appends it to its partition's journal, from where `known` says that it was left, if that is still
 * worth something; ends where the source cannot say more yet. Repeating any part of it changes nothing in the store.
 * @param save is told of each part that was appended, with the number of its bars
 * @throws JournalLost, or what the source, the store, or `save` fail with
 */
export async function fillRange(
  range: FillRange,
  known: FillProgress | null,
  save: (progress: FillProgress, bars: number) => Promise<void>,
  deps: FillDeps,
  signal: AbortSignal,
): Promise<FillOutcome> {
  const { writer, store, time } = deps;
  const partition = partitionOf(range.symbol);
  const holds = known !== null && (known.journal === null || known.journal.id === writer.journalOf(partition));
  let progress: FillProgress = holds ? known : { journal: null, next: range.from, fetchedAt: time.now(), notBefore: 0 };
  if (progress.next < range.to && time.now() >= progress.notBefore) {
    let notBefore = time.now() + ASK_AGAIN_MIN_MS;
    for await (const { page, fetchedAt } of pagesOf(range, progress.next, deps, signal)) {
      const settledTo = fetchedAt - UPDATED_WITHIN_MS - ((fetchedAt - UPDATED_WITHIN_MS) % MINUTE_MS);
      const bars = page.bars.map((bar): Bar => ({ ...bar, rev: bar.openTime < settledTo ? 4 : 0 }));
      for (let at = 0; at < bars.length; ) {
        const appended = await writer.appendHistory(partition, bars.slice(at), signal);
        if (appended === null || (progress.journal !== null && appended.journal.id !== progress.journal.id))
          throw new JournalLost();
        at += appended.bars;
        const next = Math.max(progress.next, Math.min(bars[at - 1]!.openTime + MINUTE_MS, settledTo));
        progress = { ...progress, journal: appended.journal, next };
        await save(progress, appended.bars);
      }
      const next = Math.max(progress.next, Math.min(page.answeredTo, settledTo, range.to));
      notBefore = askAgainAt(range.to, page.answeredTo, fetchedAt);
      progress = { ...progress, next, notBefore: 0 };
      await save(progress, 0);
    }
    if (signal.aborted) return { state: 'interrupted' };
    if (progress.next < range.to) {
      progress = { ...progress, notBefore };
      await save(progress, 0);
    }
  }
  if (progress.journal === null) return { state: 'stored', progress };
  const consumed = await store.consumed(partition);
  const isCommitted = consumed.id === progress.journal.id && consumed.last >= progress.journal.last;
  return isCommitted ? { state: 'stored', progress } : { state: 'appended' };
}

/** Pages, each with the moment at which it was asked for, and no request more than it takes. */
async function* pagesOf(
  { symbol, to }: FillRange,
  from: number,
  { history, turn, time }: FillDeps,
  signal: AbortSignal,
): AsyncGenerator<{ page: HistoryPage; fetchedAt: number }> {
  const pages = history(symbol, from, to, signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      await turn(signal);
      if (signal.aborted) return;
      const fetchedAt = time.now();
      const { done, value } = await pages.next();
      if (done || signal.aborted) return;
      yield { page: value, fetchedAt };
      if (value.answeredTo >= to) return;
    }
  } finally {
    await pages.return?.();
  }
}

/** When the source will have all of it, if it goes on to lag behind as it did, and updates of its end have come. */
function askAgainAt(to: number, answeredTo: number, fetchedAt: number): number {
  const caughtUpAt = fetchedAt + Math.max(0, to - answeredTo);
  const settledAt = to + UPDATED_WITHIN_MS;
  const wait = Math.max(caughtUpAt, settledAt) - fetchedAt;
  return fetchedAt + Math.min(Math.max(wait, ASK_AGAIN_MIN_MS), ASK_AGAIN_MAX_MS);
}
