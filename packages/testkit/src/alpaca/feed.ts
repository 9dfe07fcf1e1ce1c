import { barMessage, type DataMessage, formatTimestamp, type TradeMessage } from '@candlewire/alpaca';
import { type Bar, MINUTE_MS } from '@candlewire/contracts';
import { type AlpacaMarket, BAR_DELAY_MS, type MarketTrade, UPDATE_DELAY_MS } from './market';

/** Symbols that somebody wants, by channel. */
export interface Wanted {
  readonly trades: Iterable<string>;
  readonly bars: Iterable<string>;
  readonly updatedBars: Iterable<string>;
  readonly dailyBars: Iterable<string>;
}

/** Messages of one moment. */
export interface DueMessages {
  readonly at: number;
  readonly messages: readonly DataMessage[];
}

/** After the bars of a minute. */
const DAILY_DELAY_MS = BAR_DELAY_MS + 10;
const EXCHANGE = 'V';
const TAPE = 'C';

/** What a feed sends in fromMs < t <= toMs, in order of time. A minute is computed when it is asked for. */
export function* dueMessages(
  market: AlpacaMarket,
  wanted: Wanted,
  fromMs: number,
  toMs: number,
): Generator<DueMessages> {
  for (let slot = Math.floor(fromMs / MINUTE_MS) * MINUTE_MS; slot <= toMs; slot += MINUTE_MS) {
    const due = new Map<number, DataMessage[]>();
    const isDue = (at: number): boolean => at > fromMs && at <= toMs;
    const add = (at: number, message: DataMessage): void => {
      const messages = due.get(at);
      if (messages === undefined) due.set(at, [message]);
      else messages.push(message);
    };
    const addBars = (delayMs: number, symbols: Iterable<string>, T: 'b' | 'u' | 'd', barOf: BarOf): void => {
      if (!isDue(slot + delayMs)) return;
      for (const symbol of symbols) {
        const bar = barOf(symbol);
        if (bar !== null) add(slot + delayMs, barMessage(T, bar));
      }
    };
    const ended = slot - MINUTE_MS;
    addBars(BAR_DELAY_MS, wanted.bars, 'b', (symbol) => market.first(symbol, ended));
    if (market.calendar.statusOf(ended) === 'regular') {
      addBars(DAILY_DELAY_MS, wanted.dailyBars, 'd', (symbol) => market.day(symbol, ended, slot + DAILY_DELAY_MS));
    }
    addBars(UPDATE_DELAY_MS, wanted.updatedBars, 'u', (symbol) => market.updated(symbol, ended));
    for (const symbol of wanted.trades) {
      // Late ones of the minute before are reported in this one.
      for (const trade of [...market.trades(symbol, ended), ...market.trades(symbol, slot)]) {
        const { reportedAt } = trade;
        if (reportedAt >= slot && reportedAt < slot + MINUTE_MS && isDue(reportedAt)) {
          add(reportedAt, tradeMessage(trade));
        }
      }
    }
    for (const [at, messages] of [...due].sort(([a], [b]) => a - b)) yield { at, messages };
  }
}

type BarOf = (symbol: string) => Bar | null;

export function tradeMessage(trade: MarketTrade): TradeMessage {
  return { T: 't', S: trade.symbol, ...wireTrade(trade) };
}

/** A trade as the REST API tells it. */
export function wireTrade({ id, time, ns, price, size }: MarketTrade): Omit<TradeMessage, 'T' | 'S'> {
  return { i: id, x: EXCHANGE, p: price, s: size, c: ['@'], t: formatTimestamp({ ms: time, ns }), z: TAPE };
}
