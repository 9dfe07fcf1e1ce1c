import type { Bus, Message, ReadEntry } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import { type Logger, retry } from '@candlewire/runtime';
import type { Claim, Position, RebuildStep, Store, SymbolChange } from '@candlewire/store';
import type { AggregatorCounters } from './counters';
import { messagesOf } from './messages';
import type { Timings } from './metrics';
import { Fenced } from './owner';

export interface CommitsDeps {
  readonly store: Pick<Store, 'lastCommit' | 'commit' | 'commitRebuild'>;
  readonly bus: Pick<Bus, 'publish' | 'journal'>;
  readonly channels: Channels;
  readonly epoch: string;
  readonly logger: Logger;
  readonly counters: AggregatorCounters;
  readonly timings: Timings;
}

/** What one commit stores and tells. */
export interface Commit {
  readonly position: Position;
  readonly changes: readonly SymbolChange[];
  /** Published with the changes. */
  readonly prices: readonly Message[];
  /** The last entry that the stored position did not cover before; null: it covered all. */
  readonly last: ReadEntry | null;
}

/**
 * The commits of a partition and their publication. Each is published after it is stored; the next one waits for the end of
 * that, so at most one is stored and not published: the one that a successor reads back.
 */
export class Commits {
  private published: Promise<void> = Promise.resolve();

  /** @param signal ends the attempts to publish */
  constructor(
    private readonly claim: Claim,
    private readonly deps: CommitsDeps,
    private readonly signal: AbortSignal,
  ) {}

  /** What a predecessor committed and perhaps did not publish is published (again). */
  async recover(): Promise<void> {
    const last = await this.deps.store.lastCommit(this.claim.partition);
    this.publish(this.messagesOf(last.map(({ symbol, change }) => ({ symbol, series: [change] }))));
  }

  /** Stores a commit and begins to publish it. @throws Fenced */
  async commit({ position, changes, prices, last }: Commit): Promise<void> {
    const { store, counters, timings } = this.deps;
    const { partition, fence } = this.claim;
    await this.published;
    const begunAt = performance.now();
    if ((await store.commit(partition, fence, position, changes)) === null) throw new Fenced(partition);
    timings.commit.observe((performance.now() - begunAt) / 1_000);
    this.publish([...this.messagesOf(changes), ...prices], last && { journalId: position.journalId!, entry: last });
    counters.commits++;
    for (const { series } of changes)
      for (const { interval, changed } of series) counters.candles[interval] += changed.length;
  }

  /** The same of a step of a rebuild. @throws Fenced */
  async commitRebuild(position: Position, step: RebuildStep): Promise<void> {
    const { store, counters } = this.deps;
    const { partition, fence } = this.claim;
    await this.published;
    if ((await store.commitRebuild(partition, fence, position, step)) === null) throw new Fenced(partition);
    counters.rebuilt += step.compared;
    counters.corrected += step.found;
    if (step.series.length === 0) return;
    this.publish(this.messagesOf([step]));
    counters.commits++;
  }

  /** Resolves when the last commit is published. @throws where its publication was given up */
  done(): Promise<void> {
    return this.published;
  }

  private publish(messages: readonly Message[], consumed: { journalId: string; entry: ReadEntry } | null = null): void {
    const { bus, counters, timings, logger } = this.deps;
    const { partition } = this.claim;
    const committedAt = performance.now();
    const send = async () => {
      await bus.publish(messages);
      counters.messages += messages.length;
      // A predecessor's commit is of no known age.
      if (consumed !== null) {
        timings.publish.observe((performance.now() - committedAt) / 1_000);
        await bus.journal.consumed(partition, consumed.journalId, consumed.entry);
      }
    };
    const onFailure = (err: unknown, attempt: number) => {
      if (attempt === 1) logger.warn('publishing is retried', { partition, err });
    };
    this.published = retry(send, { signal: this.signal, onFailure });
    // Awaited before the next commit; until then a failure must not count as unhandled.
    this.published.catch(() => {});
  }

  private messagesOf(changes: readonly SymbolChange[]): Message[] {
    return messagesOf(changes, this.deps.channels, this.deps.epoch);
  }
}
