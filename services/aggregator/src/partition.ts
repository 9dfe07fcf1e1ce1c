import type { Bus, ReadEntry } from '@candlewire/bus';
import { boundedLog, retry } from '@candlewire/runtime';
import type { Claim, Position, RebuildStep, Store } from '@candlewire/store';
import { type Batch, batchOf } from './batch';
import { Commits, type CommitsDeps } from './commits';
import { Horizon, type HorizonDeps } from './horizon';
import { LiveSymbols } from './live-symbols';
import { priceMessage } from './messages';
import { Fenced } from './owner';
import { Rebuilds } from './rebuilds';
import { TickPrices } from './tick-prices';
import type { Turns } from './turns';
import { NOTHING, type Unstored, waitsMs, withEntries } from './unstored';
import { Wake } from './wake';

export interface PartitionDeps extends Omit<CommitsDeps, 'store' | 'bus'>, Omit<HorizonDeps, 'store'> {
  readonly store: Store;
  readonly bus: Bus;
  /** Of all partitions: of large batches a few at a time, so that those with a live bar or two get through. */
  readonly large: Turns;
}

/** A batch of more bars is history, or somebody's replay: it can wait. */
const SMALL_BARS_MAX = 100;
/** Entries read at a time: an hour of bare clocks is caught up in 15 reads. */
const READ_ENTRIES_MAX = 256;
/** Wake-ups can be lost with the connection: look at the journal at least so often. */
const LOOK_MS = 1_000;

/**
 * One partition as its owner holds it: reads its journal, advances its symbols, commits, publishes.
 *
 * What is in memory equals the store after the last commit. Whenever that is in doubt (a commit whose outcome is unknown,
 * a fence, an error) the partition ends with an error and is taken over anew, by this owner or another.
 */
export class Partition {
  private readonly symbols: LiveSymbols;
  private readonly horizon: Horizon;
  private readonly commits: Commits;
  private readonly rebuilds: Rebuilds;
  private readonly ticks: TickPrices;
  private readonly wake = new Wake();
  private readonly logTooOld: ReturnType<typeof boundedLog>;
  /** Of what was applied; the store's is behind it by what is unstored. */
  private position: Position;
  private unstored: Unstored = NOTHING;
  /** Number of the journal's last entry, when it was last read. */
  private last = 0;
  /** Read, not yet applied. */
  private ahead: readonly ReadEntry[] = [];
  /** Up to this entry one entry at a time: one of them cannot be stored, and it has to be found. */
  private cautiousUntil = 0;
  /** The clock has passed more than was committed. */
  private more = false;

  constructor(
    private readonly claim: Claim,
    private readonly deps: PartitionDeps,
    /** Ends the run: what was begun is finished. */
    private readonly signal: AbortSignal,
  ) {
    const { partition } = claim;
    this.position = claim;
    this.symbols = new LiveSymbols(deps.store, deps.rules);
    this.horizon = new Horizon(claim, deps);
    this.commits = new Commits(claim, deps, signal);
    this.rebuilds = new Rebuilds(partition, deps);
    this.ticks = new TickPrices(partition, this.symbols, deps);
    this.logTooOld = boundedLog(deps.logger, 'bars refused: their day is no longer kept');
  }

  /** Until the signal is aborted, or an error: the partition must be taken over anew. */
  async run(): Promise<void> {
    const { signal } = this;
    const { bus, logger, channels } = this.deps;
    const { partition } = this.claim;
    const wakeUp = () => this.wake.ring();
    // Not awaited: while the bus is away this waits, and the partition must be able to stop.
    const listening = [
      bus.journal.onAppend(partition, wakeUp),
      bus.subscribe(channels.ticks(partition), (text) => {
        this.ticks.hear(text);
        wakeUp();
      }),
    ];
    signal.addEventListener('abort', wakeUp);
    try {
      await this.recover();
      while (!signal.aborted) {
        const worked = await this.next();
        await this.ticks.tell();
        const rebuilt = await this.rebuild();
        if (!worked && !rebuilt && !signal.aborted) await this.wake.wait(Math.min(LOOK_MS, this.mayWaitMs()));
      }
      await this.commits.done();
    } finally {
      signal.removeEventListener('abort', wakeUp);
      // The publication has an owner until its end, also where the partition ends with an error.
      await this.commits
        .done()
        .catch((err) => logger.warn('last commit left to be published by the next owner', { partition, err }));
      for (const one of listening) {
        one.then((stop) => stop()).catch((err) => logger.debug('listener not let go', { partition, err }));
      }
    }
  }

  /** How old (ms, by a wall clock that says `now`) the clock of its candles is; 0 where nothing is known to wait. */
  behindMs(now: number): number {
    const { entry, clock } = this.position;
    return entry >= this.last || clock === null ? 0 : Math.max(0, now - clock);
  }

  private async recover(): Promise<void> {
    await this.commits.recover();
    // The others have something to do when bars come; these change by the clock alone.
    await this.symbols.load(await this.deps.store.openSymbols(this.claim.partition));
    await this.rebuilds.resume();
    await this.horizon.takeOver();
  }

  /** One batch, or the position that has waited long enough. False where nothing was to be done. */
  private async next(): Promise<boolean> {
    // The bus says itself when it is away; here it is only waited for.
    if (this.ahead.length === 0 && !this.more) await retry(() => this.read(), { signal: this.signal });
    const before = { clock: this.clock, horizon: this.horizon.current, cautiousUntil: this.cautiousUntil };
    const batch = batchOf(this.ahead, before, this.horizon.at);
    if (batch === null && !this.more && this.mayWaitMs() > 0) return false;
    if (batch !== null) this.count(batch.refused);
    try {
      if (batch !== null && batch.bars > SMALL_BARS_MAX) await this.deps.large.take(() => this.step(batch));
      else await this.step(batch);
    } catch (err) {
      if (batch === null || !this.isPoison(err)) throw err;
      this.isolate(batch, err);
    }
    return true;
  }

  private async read(): Promise<void> {
    const { partition } = this.claim;
    const { journalId, entry } = this.position;
    const { head, entries } = await this.deps.bus.journal.read(
      partition,
      { id: journalId ?? '', last: entry },
      READ_ENTRIES_MAX,
    );
    if (head.id !== journalId) {
      if (journalId !== null) this.deps.logger.warn('journal is another one', { partition, entry, last: head.last });
      this.position = { ...this.position, journalId: head.id, entry: (entries[0]?.number ?? head.last + 1) - 1 };
      this.unstored = NOTHING;
    }
    this.last = head.last;
    this.ahead = entries;
  }

  /** Advances the symbols by a batch, or by the clock alone, and commits what that changes. */
  private async step(batch: Batch | null): Promise<void> {
    const clock = batch?.clock ?? this.clock;
    const { changes, prices, more } = await this.symbols.advance(batch?.bySymbol ?? new Map(), clock);
    this.more = more;
    const position: Position = {
      journalId: this.position.journalId,
      entry: batch?.last.number ?? this.position.entry,
      clock: clock === Number.NEGATIVE_INFINITY ? null : clock,
    };
    await this.rebuilds.begin(batch?.rebuilds ?? []);
    const unstored = batch === null ? this.unstored : withEntries(this.unstored, batch, performance.now());
    if (changes.length > 0 || waitsMs(unstored, performance.now()) <= 0) {
      const told = prices.map((price) => priceMessage(price, this.deps.channels));
      await this.commits.commit({ position, changes, prices: told, last: unstored.last });
      this.unstored = NOTHING;
    } else this.unstored = unstored;
    this.deps.counters.bars += batch?.bars ?? 0;
    this.position = position;
    this.ahead = this.ahead.slice(batch?.size ?? 0);
    await this.horizon.moveTo(batch?.horizon ?? null);
  }

  /** One step of what is to be rebuilt, between two batches. False where there was nothing to be done. */
  private async rebuild(): Promise<boolean> {
    // What the clock has passed is final only then.
    if (this.more || this.signal.aborted) return false;
    let step: RebuildStep | null;
    try {
      step = await this.rebuilds.next(this.clock, this.horizon.current);
      if (step === null) return false;
      await this.commits.commitRebuild(this.position, step);
    } catch (err) {
      if (!this.isPoison(err)) throw err;
      await this.rebuilds.giveUp(err);
      return true;
    }
    this.rebuilds.committed(step);
    if (step.series.length === 0) return true;
    // What is in memory was made of what was wrong.
    this.symbols.forget(step.symbol);
    await this.symbols.load([step.symbol]);
    return true;
  }

  /** A batch that cannot be applied: its entries one by one, and the one that is to blame is given up. */
  private isolate(batch: Batch, err: unknown): void {
    const { logger, counters } = this.deps;
    const { partition } = this.claim;
    this.symbols.forget();
    if (batch.size > 1) {
      this.cautiousUntil = batch.last.number;
      logger.warn('batch cannot be stored, trying its entries one by one', { partition, entries: batch.size, err });
      return;
    }
    logger.error('entry given up', { partition, entry: batch.last.number, bars: batch.bars, err });
    counters.poisoned++;
    this.position = { ...this.position, entry: batch.last.number };
    this.unstored = withEntries(this.unstored, batch, performance.now());
    this.ahead = this.ahead.slice(1);
  }

  private count(refused: Batch['refused']): void {
    const { counters } = this.deps;
    for (const [reason, count] of Object.entries(refused))
      counters.refused[reason] = (counters.refused[reason] ?? 0) + count;
    if (refused.too_old !== undefined) this.logTooOld({ bars: refused.too_old });
  }

  /** Of the journal, epoch ms; -Infinity where none was ever told. */
  private get clock(): number {
    return this.position.clock ?? Number.NEGATIVE_INFINITY;
  }

  /** So long the position may still stay unstored. */
  private mayWaitMs(): number {
    return waitsMs(this.unstored, performance.now());
  }
  /**
   * An error that will come again with the same entry: anything but a lost server, a fence, a lost race, or the signal, for
   * which whatever was being tried is given up.
   */
  private isPoison(err: unknown): boolean {
    if (this.signal.aborted || err instanceof Fenced) return false;
    return (err as { retryable?: boolean }).retryable !== true;
  }
}
