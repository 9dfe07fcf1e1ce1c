import { type Difference, type Rules, rebuildDay } from '@candlewire/candles';
import { type RebuildDifference, type RebuildOrder, toIso } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { RebuildPart, RebuildStep, Store } from '@candlewire/store';
import { drive } from './drive';

/** Differences that are told of each symbol; the rest is counted, and corrected all the same. */
const TOLD_MAX = 100;

const NAMES = {
  ...{
    open: 'open',
    high: 'high',
    low: 'low',
    close: 'close',
    volume: 'volume',
    vwap: 'vwap',
    tradeCount: 'trade_count',
  },
  ...{ status: 'market_status', rsi: 'RSI', avgGain: 'avg_gain', avgLoss: 'avg_loss', avgRange: 'ATR' },
  ...{ ma40: 'MA40', ma80: 'MA80', ma160: 'MA160', final: 'final', rev: 'rev' },
} satisfies Record<keyof Difference['fields'], string>;

export interface RebuildsDeps {
  readonly store: Store;
  readonly rules: Rules;
  readonly logger: Logger;
}

/**
 * The rebuilds of one partition: a queue of symbols, of which a New York day at a time is computed anew between two batches
 * of the journal. How far each has come stands in the store with the corrections, so the next owner goes on there.
 */
export class Rebuilds {
  private waiting: RebuildPart[] = [];

  constructor(
    private readonly partition: number,
    private readonly deps: RebuildsDeps,
  ) {}

  /** Takes up what is to be done: what a predecessor left, and what was begun since. */
  async resume(): Promise<void> {
    this.waiting = await this.deps.store.openRebuilds(this.partition);
  }

  /** To be called before the position moves past the orders: from here on the store knows of them. */
  async begin(orders: readonly RebuildOrder[]): Promise<void> {
    if (orders.length === 0) return;
    for (const order of orders) await this.deps.store.beginRebuild(this.partition, order);
    await this.resume();
  }

  /** The next day of the symbol in front; null where nothing is to be done. */
  async next(clock: number, horizon: number | null): Promise<RebuildStep | null> {
    const part = this.waiting[0];
    if (part === undefined) return null;
    const { store, rules } = this.deps;
    const { id, symbol } = part;
    const from = Math.max(part.next ?? Number.NEGATIVE_INFINITY, horizon ?? Number.NEGATIVE_INFINITY);
    const [day] = await drive([rebuildDay(symbol, from, clock, rules)], (needs) => store.answer(needs));
    if (day === null || day === undefined)
      return { id, symbol, next: null, compared: 0, found: 0, told: [], series: [] };
    const { next, compared, differences, series } = day;
    const told = differences.slice(0, Math.max(0, TOLD_MAX - part.found)).map((one) => textOf(symbol, one));
    return { id, symbol, next, compared, found: differences.length, told, series };
  }

  /** The step is stored. */
  committed({ next, compared, found }: RebuildStep): void {
    const part = this.waiting[0]!;
    const now = { ...part, next, compared: part.compared + compared, found: part.found + found };
    if (next !== null) {
      this.waiting[0] = now;
      return;
    }
    this.waiting.shift();
    const { id, symbol } = part;
    this.deps.logger.info('candles rebuilt', { rebuild: id, symbol, candles: now.compared, differences: now.found });
  }

  /** The symbol in front cannot be rebuilt, however often it is tried. */
  async giveUp(err: unknown): Promise<void> {
    const { id, symbol } = this.waiting[0]!;
    this.deps.logger.error('rebuild given up', { rebuild: id, symbol, err });
    await this.deps.store.failRebuild(id, symbol, String((err as Error).message ?? err));
    this.waiting.shift();
  }
}

function textOf(symbol: string, { interval, openTime, kind, fields }: Difference): string {
  const told = Object.entries(fields).map(([field, [stored, rebuilt]]) => [
    NAMES[field as keyof Difference['fields']],
    { stored, rebuilt },
  ]);
  const difference = { symbol, interval, timestamp: toIso(openTime), kind, fields: Object.fromEntries(told) };
  return JSON.stringify(difference satisfies RebuildDifference);
}
