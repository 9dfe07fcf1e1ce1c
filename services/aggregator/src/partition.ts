import type { Bus, ReadEntry } from '@candlewire/bus';
import { type Advanced, type Answer, advance, type Need, type Rules, SymbolState } from '@candlewire/candles';
import {
  type Bar,
  type Channels,
  decodeEntry,
  decodeTicks,
  ENTRY_BARS_MAX,
  partitionOf,
  type Tick,
} from '@candlewire/contracts';
import { type Logger, retry } from '@candlewire/runtime';
import type { Claim, Position, Store, SymbolChange } from '@candlewire/store';
import type { AggregatorCounters } from './counters';
import { drive } from './drive';
import { messagesOf, priceMessage } from './messages';
import type { Timings } from './metrics';
import { Wake } from './wake';

export interface PartitionDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly channels: Channels;
  readonly epoch: string;
  readonly rules: Rules;
  readonly logger: Logger;
  readonly counters: AggregatorCounters;
  readonly timings: Timings;
}

/** Another owner has the partition: nothing was written, and nothing may be from here on. */
export class Fenced extends Error {
  constructor(partition: number) {
    super(`partition ${partition} has another owner`);
    this.name = 'Fenced';
  }
}

/** Entries read at a time: an hour of bare clocks is caught up in 15 reads. */
const READ_ENTRIES_MAX = 256;
/** Bars of one commit: bounds its memory, its time, and what is told again after a crash. */
const BATCH_BARS_MAX = 4_000;
/** Entries or bars that changed nothing may run ahead of the stored position so far: no commit for nothing, yet the journal can be trimmed. History is appended while few bars wait: a full entry of it is news. */
const UNSTORED_ENTRIES_MAX = 256;
const UNSTORED_BARS_MAX = ENTRY_BARS_MAX;
/** Wake-ups can be lost with the connection: look at the journal at least so often. */
const LOOK_MS = 1_000;
/** Symbols loaded at a time when a partition is taken over. */
const LOAD_SYMBOLS_MAX = 200;

interface Live {
  readonly state: SymbolState;
  /** When the clock alone changes it. */
  due: number;
}

interface Batch {
  readonly last: ReadEntry;
  readonly size: number;
  readonly bars: number;
  readonly bySymbol: Map<string, Bar[]>;
  readonly clock: number;
}

/**
 * One partition as its owner holds it: reads its journal, advances its symbols, commits, publishes.
 *
 * What is in memory equals the store after the last commit. Whenever that is in doubt (a commit whose outcome is unknown,
 * a fence, an error) the partition ends with an error and is taken over anew, by this owner or another.
 */
export class Partition {
  private readonly live = new Map<string, Live>();
  private position: Position;
  /** Number of the journal's last entry, when it was last read. */
  private last = 0;
  /** Read, not yet applied. */
  private ahead: ReadEntry[] = [];
  private unstored = { entries: 0, bars: 0 };
  /** The publication of the last commit; at most one commit is unpublished. */
  private published: Promise<void> = Promise.resolve();
  /** Up to this entry one entry at a time: one of them cannot be stored, and it has to be found. */
  private cautiousUntil = 0;
  private more = false;
  /** The newest of each symbol that was not told yet. */
  private readonly ticks = new Map<string, Tick>();
  private readonly wake = new Wake();

  constructor(
    private readonly claim: Claim,
    private readonly deps: PartitionDeps,
  ) {
    this.position = claim;
  }

  /** Until `signal` is aborted (then what was begun is finished), or an error: the partition must be taken over anew. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, logger } = this.deps;
    const { partition } = this.claim;
    // Not awaited: while the bus is away this waits, and the partition must be able to stop.
    const listening = [
      bus.journal.onAppend(partition, () => this.wake.ring()),
      bus.subscribe(this.deps.channels.ticks(partition), (text) => this.tick(text)),
    ];
    const wakeUp = () => this.wake.ring();
    signal.addEventListener('abort', wakeUp);
    try {
      await this.recover(signal);
      while (!signal.aborted) {
        const worked = await this.next(signal);
        await this.tellTicks();
        if (!worked && !signal.aborted) await this.wake.wait(LOOK_MS);
      }
      await this.published;
    } finally {
      signal.removeEventListener('abort', wakeUp);
      // The publication has an owner until its end, also where the partition ends with an error.
      await this.published.catch((err) =>
        logger.warn('last commit left to be published by the next owner', { partition, err }),
      );
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

  /** What a predecessor committed and perhaps did not publish is published (again); symbols that only the clock may move are loaded. */
  private async recover(signal: AbortSignal): Promise<void> {
    const { store } = this.deps;
    const { partition } = this.claim;
    const last = await store.lastCommit(partition);
    this.publish(
      messagesOf(
        last.map(({ symbol, change }) => ({ symbol, series: [change] })),
        this.deps.channels,
        this.deps.epoch,
      ),
      signal,
    );
    const open = await store.openSymbols(partition);
    for (let at = 0; at < open.length; at += LOAD_SYMBOLS_MAX) {
      const states = await drive(
        open.slice(at, at + LOAD_SYMBOLS_MAX).map((symbol) => SymbolState.load(symbol, this.deps.rules)),
        this.answer,
      );
      for (const state of states) this.adopt(state);
    }
  }

  /** One batch. False where nothing was waiting. */
  private async next(signal: AbortSignal): Promise<boolean> {
    // The bus says itself when it is away; here it is only waited for.
    if (this.ahead.length === 0 && !this.more) await retry(() => this.read(), { signal });
    const batch = this.take();
    if (batch === null && !this.more) return false;
    try {
      await this.step(batch, signal);
    } catch (err) {
      if (batch === null || !isPoison(err)) throw err;
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
    }
    this.last = head.last;
    this.ahead = [...entries];
  }

  /** Entries of the next commit, decoded; null where there is none. */
  private take(): Batch | null {
    const { counters } = this.deps;
    const first = this.ahead[0];
    if (first === undefined) return null;
    let clock = this.position.clock ?? Number.NEGATIVE_INFINITY;
    let bars = 0;
    let size = 0;
    const bySymbol = new Map<string, Bar[]>();
    for (const { number, text } of this.ahead) {
      if (size > 0 && (bars >= BATCH_BARS_MAX || number <= this.cautiousUntil)) break;
      const { entry, refused } = decodeEntry(text);
      for (const reason of refused) counters.refused[reason] = (counters.refused[reason] ?? 0) + 1;
      if (entry.clock !== null && entry.clock > clock) clock = entry.clock;
      for (const bar of entry.bars) {
        const ofSymbol = bySymbol.get(bar.symbol);
        if (ofSymbol === undefined) bySymbol.set(bar.symbol, [bar]);
        else ofSymbol.push(bar);
      }
      bars += entry.bars.length;
      size++;
    }
    return { last: this.ahead[size - 1]!, size, bars, bySymbol, clock };
  }

  private async step(batch: Batch | null, signal: AbortSignal): Promise<void> {
    const { store, counters, timings, channels, epoch } = this.deps;
    const clock = batch?.clock ?? this.position.clock ?? Number.NEGATIVE_INFINITY;
    const bySymbol = batch?.bySymbol ?? new Map<string, Bar[]>();
    const symbols = new Set(bySymbol.keys());
    for (const [symbol, { due }] of this.live) if (due <= clock) symbols.add(symbol);

    const advanced = await drive(
      [...symbols].map((symbol) => this.advance(symbol, bySymbol.get(symbol) ?? [], clock)),
      this.answer,
    );
    this.more = advanced.some(({ more }) => more);
    const changes: SymbolChange[] = [];
    const messages = [];
    let at = 0;
    for (const symbol of symbols) {
      const { series, price } = advanced[at++]!;
      if (series.length > 0) changes.push({ symbol, series });
      if (price !== null) messages.push(priceMessage(price, channels));
    }

    const position: Position = {
      journalId: this.position.journalId,
      entry: batch?.last.number ?? this.position.entry,
      clock: clock === Number.NEGATIVE_INFINITY ? null : clock,
    };
    this.unstored.entries += batch?.size ?? 0;
    this.unstored.bars += batch?.bars ?? 0;
    if (
      changes.length > 0 ||
      this.unstored.entries >= UNSTORED_ENTRIES_MAX ||
      this.unstored.bars >= UNSTORED_BARS_MAX
    ) {
      await this.published;
      const begunAt = performance.now();
      if ((await store.commit(this.claim.partition, this.claim.fence, position, changes)) === null)
        throw new Fenced(this.claim.partition);
      timings.commit.observe((performance.now() - begunAt) / 1_000);
      this.unstored = { entries: 0, bars: 0 };
      this.publish([...messagesOf(changes, channels, epoch), ...messages], signal, batch?.last);
      counters.commits++;
      for (const { series } of changes)
        for (const { interval, changed } of series) counters.candles[interval] += changed.length;
    }
    counters.bars += batch?.bars ?? 0;
    this.position = position;
    this.ahead = this.ahead.slice(batch?.size ?? 0);
  }

  private *advance(symbol: string, bars: readonly Bar[], clock: number): Generator<Need[], Advanced, Answer[]> {
    const { rules } = this.deps;
    const live = this.live.get(symbol) ?? this.adopt(yield* SymbolState.load(symbol, rules));
    const advanced = yield* advance(live.state, bars, clock, rules);
    live.due = live.state.dueAt(rules);
    return advanced;
  }

  private adopt(state: SymbolState): Live {
    const live = { state, due: state.dueAt(this.deps.rules) };
    this.live.set(state.symbol, live);
    return live;
  }

  private tick(text: string): void {
    for (const tick of decodeTicks(text)) {
      if (partitionOf(tick.symbol) !== this.claim.partition) continue;
      this.ticks.set(tick.symbol, tick);
      this.deps.counters.ticks++;
    }
    this.wake.ring();
  }

  /** Prices of the newest ticks, between commits: the close that they are compared with is one that is stored. */
  private async tellTicks(): Promise<void> {
    if (this.ticks.size === 0) return;
    const { rules, channels, bus, counters, logger } = this.deps;
    const ticks = [...this.ticks.values()];
    this.ticks.clear();
    const unknown = ticks.filter(({ symbol }) => !this.live.has(symbol));
    const loaded = await drive(
      unknown.map(({ symbol }) => SymbolState.load(symbol, rules)),
      this.answer,
    );
    for (const state of loaded) this.adopt(state);
    const messages = ticks.flatMap((tick) => {
      const price = this.live.get(tick.symbol)!.state.tick(tick, rules.calendar);
      return price === null ? [] : [priceMessage(price, channels)];
    });
    try {
      await bus.publish(messages);
      counters.messages += messages.length;
    } catch (err) {
      // Best effort: the next tick is a second away.
      logger.debug('prices not told', { err });
    }
  }

  private readonly answer = (needs: readonly Need[]): Promise<Answer[]> => this.deps.store.answer(needs);

  /** Begins the publication of a commit; the next commit waits for its end. */
  private publish(messages: { channel: string; text: string }[], signal: AbortSignal, consumed?: ReadEntry): void {
    const { bus, counters, timings, logger } = this.deps;
    const { partition } = this.claim;
    const { journalId } = this.position;
    const committedAt = performance.now();
    const send = async () => {
      await bus.publish(messages);
      // A predecessor's commit is of no known age.
      if (consumed !== undefined) timings.publish.observe((performance.now() - committedAt) / 1_000);
      if (consumed !== undefined) await bus.journal.consumed(partition, journalId!, consumed);
      counters.messages += messages.length;
    };
    const onFailure = (err: unknown, attempt: number) => {
      if (attempt === 1) logger.warn('publishing is retried', { partition, err });
    };
    this.published = retry(send, { signal, onFailure });
    // Awaited before the next commit; until then a failure must not count as unhandled.
    this.published.catch(() => {});
  }

  /** A batch that cannot be applied: its entries one by one, and the one that is to blame is given up. */
  private isolate(batch: Batch, err: unknown): void {
    const { logger, counters } = this.deps;
    const { partition } = this.claim;
    this.live.clear();
    if (batch.size > 1) {
      this.cautiousUntil = batch.last.number;
      logger.warn('batch cannot be stored, trying its entries one by one', { partition, entries: batch.size, err });
      return;
    }
    logger.error('entry given up', { partition, entry: batch.last.number, bars: batch.bars, err });
    counters.poisoned++;
    this.position = { ...this.position, entry: batch.last.number };
    this.unstored.entries++;
    this.ahead = this.ahead.slice(1);
  }
}

/** An error that will come again with the same entry: anything but a lost server, a fence, or a lost race. */
function isPoison(err: unknown): boolean {
  return !(err instanceof Fenced) && (err as { retryable?: boolean }).retryable !== true;
}
