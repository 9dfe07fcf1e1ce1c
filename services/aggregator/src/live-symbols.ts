import { type Advanced, type Answer, advance, type Need, type Rules, SymbolState } from '@candlewire/candles';
import type { Bar, PriceUpdate, Tick } from '@candlewire/contracts';
import type { Store, SymbolChange } from '@candlewire/store';
import { drive } from './drive';

/** Symbols loaded at a time. */
const LOAD_SYMBOLS_MAX = 200;

interface Live {
  readonly state: SymbolState;
  /** When the clock alone changes it. */
  due: number;
}

/** What a batch makes of the symbols. */
export interface Moved {
  readonly changes: readonly SymbolChange[];
  readonly prices: readonly PriceUpdate[];
  /** The clock has passed more than fits into one commit. */
  readonly more: boolean;
}

/** The symbols of a partition that are in memory: equal to the store after the last commit, or thrown away. */
export class LiveSymbols {
  private readonly live = new Map<string, Live>();

  constructor(
    private readonly store: Pick<Store, 'answer'>,
    private readonly rules: Rules,
  ) {}

  /** Loads those that are not in memory. */
  async load(symbols: readonly string[]): Promise<void> {
    const unknown = symbols.filter((symbol) => !this.live.has(symbol));
    for (let at = 0; at < unknown.length; at += LOAD_SYMBOLS_MAX) {
      const some = unknown.slice(at, at + LOAD_SYMBOLS_MAX);
      const states = await drive(
        some.map((symbol) => SymbolState.load(symbol, this.rules)),
        this.answer,
      );
      for (const state of states) this.adopt(state);
    }
  }

  /** Works in bars, and what the clock has passed of all symbols. From here on memory is ahead of the store. Hot. */
  async advance(bySymbol: ReadonlyMap<string, readonly Bar[]>, clock: number): Promise<Moved> {
    const symbols = new Set(bySymbol.keys());
    for (const [symbol, { due }] of this.live) if (due <= clock) symbols.add(symbol);
    const advanced = await drive(
      [...symbols].map((symbol) => this.advanceOne(symbol, bySymbol.get(symbol) ?? [], clock)),
      this.answer,
    );
    const changes: SymbolChange[] = [];
    const prices: PriceUpdate[] = [];
    let at = 0;
    for (const symbol of symbols) {
      const { series, price } = advanced[at++]!;
      if (series.length > 0) changes.push({ symbol, series });
      if (price !== null) prices.push(price);
    }
    return { changes, prices, more: advanced.some(({ more }) => more) };
  }

  /** The price that a tick makes of a symbol that is in memory; null where it makes none. */
  price(tick: Tick): PriceUpdate | null {
    return this.live.get(tick.symbol)!.state.tick(tick, this.rules.calendar);
  }

  /** Forgets a symbol, or all: loaded anew when it is needed. */
  forget(symbol?: string): void {
    if (symbol === undefined) this.live.clear();
    else this.live.delete(symbol);
  }

  private *advanceOne(symbol: string, bars: readonly Bar[], clock: number): Generator<Need[], Advanced, Answer[]> {
    const live = this.live.get(symbol) ?? this.adopt(yield* SymbolState.load(symbol, this.rules));
    const advanced = yield* advance(live.state, bars, clock, this.rules);
    live.due = live.state.dueAt(this.rules);
    return advanced;
  }

  private adopt(state: SymbolState): Live {
    const live = { state, due: state.dueAt(this.rules) };
    this.live.set(state.symbol, live);
    return live;
  }

  private readonly answer = (needs: readonly Need[]): Promise<Answer[]> => this.store.answer(needs);
}
