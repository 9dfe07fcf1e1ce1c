import type { CandlesPage, Latest } from '@candlewire/store';
import { onceAnswered, type Reads } from '../bound-store';
import { historyRows, timeframeOfInterval } from '../timeframes';
import { Change, type Format, type SeriesName } from './change';
import type { LiveCounters } from './counters';
import { frameOf } from './frame';
import { Gathered } from './gathered';

/** Changes of one read: some 70 KB. */
const CHANGES_AT_ONCE = 200;
/** Series whose heads are read with one call. */
const HEADS_AT_ONCE = 5_000;
/** Symbols whose prices are read with one call. */
const PRICES_AT_ONCE = 500;
/** Reads of the store at a time: what a storm of clients asks for beyond that waits here, and is shared meanwhile. */
const READS_AT_ONCE = 16;

/** The newest candles of a series, as they are told to clients. Each format is encoded at most once. */
export class Snapshot {
  private readonly frames: { [format in Format]?: Buffer } = {};

  constructor(
    private readonly series: SeriesName,
    private readonly page: CandlesPage,
  ) {}

  get epoch(): string {
    return this.page.epoch;
  }

  get seq(): number {
    return this.page.seq;
  }

  frame(format: Format): Buffer {
    return (this.frames[format] ??= frameOf(format === 'candle' ? this.snapshot() : this.historical()));
  }

  private snapshot(): string {
    const { symbol, interval } = this.series;
    const { epoch, seq, candlesJson } = this.page;
    return `{"type":"snapshot","symbol":"${symbol}","interval":"${interval}","epoch":"${epoch}","seq":${seq},"candles":[${candlesJson}]}`;
  }

  private historical(): string {
    const { symbol, interval } = this.series;
    const timeframe = timeframeOfInterval(interval);
    return JSON.stringify({ type: 'historical', symbol, timeframe, data: historyRows(this.page.candlesJson) });
  }
}

/** Where a series stands. */
export interface Head {
  readonly epoch: string;
  readonly seq: number;
}

/** What changed in a series after some seq, each candle in its last state, ascending by seq. */
export interface Changes extends Head {
  readonly changes: readonly Change[];
  /** There is nothing more up to `seq`. */
  readonly isWhole: boolean;
}

/** Reads of one series; who asks at the same time is answered by the same read. */
export interface SeriesReader {
  snapshot(rows: number): Promise<Snapshot>;
  changes(after: number): Promise<Changes>;
  head(): Promise<Head>;
}

export interface Reader {
  of(series: SeriesName): SeriesReader;
  /** null where the symbol has no price yet. */
  latest(symbol: string): Promise<Latest | null>;
}

export interface ReaderDeps {
  readonly store: Pick<Reads, 'candles' | 'changes' | 'heads' | 'latest'>;
  readonly counters: LiveCounters;
  /** Ends all reading: what is asked then fails. */
  readonly signal: AbortSignal;
}

/** All that live delivery reads from the store. It waits for a store that is away. */
export function createReader({ store, counters, signal }: ReaderDeps): Reader {
  let reading = 0;
  const waiting: (() => void)[] = [];

  /** @param askers who share the answer */
  async function read<T>(askers: number, act: () => Promise<T>): Promise<T> {
    if (reading >= READS_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    reading++;
    counters.storeReads++;
    counters.storeReadsShared += askers - 1;
    try {
      const answer = await onceAnswered(act, signal);
      if (answer === null) throw new Error('live delivery was closed');
      return answer;
    } finally {
      reading--;
      waiting.shift()?.();
    }
  }

  const heads = new Gathered<SeriesName, Head>(async (wanted) => {
    const { epoch, seqs } = await read(wanted.length, () => store.heads(wanted));
    return seqs.map((seq) => ({ epoch, seq }));
  }, HEADS_AT_ONCE);

  const latest = new Gathered<string, Latest | null>(async (symbols) => {
    const found = await read(symbols.length, () => store.latest([...new Set(symbols)]));
    const bySymbol = new Map(found.map((one) => [one.symbol, one]));
    return symbols.map((symbol) => bySymbol.get(symbol) ?? null);
  }, PRICES_AT_ONCE);

  async function readSnapshot(series: SeriesName, limit: number, askers: number): Promise<Snapshot> {
    const query = { ...series, direction: 'back', from: null, to: null, limit } as const;
    return new Snapshot(series, await read(askers, () => store.candles(query)));
  }

  async function readChanges(series: SeriesName, after: number, askers: number): Promise<Changes> {
    const query = { ...series, after, limit: CHANGES_AT_ONCE };
    const { epoch, seq, changes } = await read(askers, () => store.changes(query));
    return {
      epoch,
      seq,
      changes: changes.map((one) => Change.ofCandle(series, epoch, one.seq, one.candleJson)),
      isWhole: changes.length < CHANGES_AT_ONCE,
    };
  }

  /** One read for those who are no further apart than a page: whoever is ahead of the first leaves out what it knows. */
  async function changesFor(series: SeriesName, afters: readonly number[]): Promise<Changes[]> {
    const answers = new Map<number, Promise<Changes>>();
    const distinct = [...new Set(afters)].sort((a, b) => a - b);
    for (let from = 0; from < distinct.length; ) {
      const first = distinct[from]!;
      let to = from + 1;
      while (to < distinct.length && distinct[to]! - first < CHANGES_AT_ONCE / 2) to++;
      const group = distinct.slice(from, to);
      const askers = afters.filter((after) => after >= first && after <= group.at(-1)!).length;
      const page = readChanges(series, first, askers);
      for (const after of group)
        answers.set(
          after,
          page.then((whole) => behind(whole, after)),
        );
      from = to;
    }
    return Promise.all(afters.map((after) => answers.get(after)!));
  }

  return {
    of(series) {
      const snapshots = new Gathered<number, Snapshot>((limits) => {
        const pages = new Map<number, Promise<Snapshot>>();
        for (const limit of limits) {
          const askers = limits.filter((other) => other === limit).length;
          if (!pages.has(limit)) pages.set(limit, readSnapshot(series, limit, askers));
        }
        return Promise.all(limits.map((limit) => pages.get(limit)!));
      }, Number.POSITIVE_INFINITY);
      const changes = new Gathered<number, Changes>((afters) => changesFor(series, afters), Number.POSITIVE_INFINITY);
      return {
        snapshot: (rows) => snapshots.ask(rows),
        changes: (after) => changes.ask(after),
        head: () => heads.ask(series),
      };
    },
    latest: (symbol) => latest.ask(symbol),
  };
}

/** The same without what stands at `after` or before. */
function behind(page: Changes, after: number): Changes {
  const { changes } = page;
  if (changes.length === 0 || changes[0]!.seq > after) return page;
  let first = 0;
  while (first < changes.length && changes[first]!.seq <= after) first++;
  return { ...page, changes: changes.slice(first) };
}
