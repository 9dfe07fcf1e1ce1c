import { MINUTE_MS, parseSymbol, type Tick } from '@candlewire/contracts';
import type { StreamTrade } from './sdk-stream';

/**
 * Sale conditions of trades that do not make a price, as they do not make a bar's either: averaged, for cash, bunched or
 * reported out of sequence, odd lots, with a reference to an earlier price, derived, contingent.
 */
const NO_PRICE: ReadonlySet<string> = new Set([
  'B',
  'C',
  'G',
  'H',
  'I',
  'M',
  'N',
  'P',
  'Q',
  'R',
  'U',
  'V',
  'W',
  'Z',
  '4',
  '7',
  '9',
]);
/** Of those, the ones that repeat a volume which was counted before. */
const NO_VOLUME: ReadonlySet<string> = new Set(['M', 'Q', '9']);

/** Trades as they come, and of each symbol the newest price for whoever reads ticks. */
export interface TradeTicks {
  /** Hot. */
  traded(trade: StreamTrade): void;
  /** What changed since the last call. */
  take(): Tick[];
  /** Resolves when there is something to take, or the signal is aborted. For one reader at a time. */
  some(signal: AbortSignal): Promise<void>;
}

interface Minute {
  openTime: number;
  volume: number;
  pricedAt: number;
}

export function createTradeTicks(): TradeTicks {
  const minutes = new Map<string, Minute>();
  let changed = new Map<string, Tick>();
  let wake: () => void = () => {};

  return {
    traded(trade) {
      const symbol = parseSymbol(trade.symbol);
      const time = trade.timestamp.getTime();
      const { price, size, conditions } = trade;
      if (symbol === null || !Number.isSafeInteger(time) || !Number.isSafeInteger(size) || size < 0) return;
      if (!(price > 0 && Number.isFinite(price))) return;
      const openTime = time - (time % MINUTE_MS);
      let minute = minutes.get(symbol);
      if (minute === undefined) minutes.set(symbol, (minute = { openTime, volume: 0, pricedAt: time }));
      // A late report of a minute that is over.
      if (openTime < minute.openTime) return;
      if (openTime > minute.openTime) {
        minute.openTime = openTime;
        minute.volume = 0;
      }
      if (!conditions.some((condition) => NO_VOLUME.has(condition))) minute.volume += size;
      if (time < minute.pricedAt || conditions.some((condition) => NO_PRICE.has(condition))) return;
      minute.pricedAt = time;
      changed.set(symbol, { symbol, price, time, volume: minute.volume });
      wake();
    },
    take() {
      const ticks = [...changed.values()];
      changed = new Map();
      return ticks;
    },
    async some(signal) {
      if (changed.size > 0 || signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = () => {
          signal.removeEventListener('abort', wake);
          wake = () => {};
          resolve();
        };
        signal.addEventListener('abort', wake);
      });
    },
  };
}
