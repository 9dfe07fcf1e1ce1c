import type { MarketStatus } from '@candlewire/contracts';

/** What a candle says of its time span, without identity, indicators and numbers. */
export interface Core {
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  /** Kept where the volume is 0, though the wire shows null then: it says that no part lacks its vwap. */
  readonly vwap: number | null;
  readonly tradeCount: number | null;
  readonly status: MarketStatus;
}

/**
 * A roll-up in the making: parts are added in time order, and in that order only, since sums of doubles depend on it.
 *
 * 5m candles are folded from minutes, 1h and 1d candles from 5m candles (session boundaries lie on multiples of five
 * minutes, so a 5m candle has one status). That keeps what has to be read for one late minute small: five minutes and the
 * 5m candles of its day, not up to 1,440 minutes; and the result is the same bits as folding everything anew.
 *
 * `sessions` (1d): prices from regular parts only, sums from pre, regular and post, closed parts never.
 */
export class Fold {
  private parts = 0;
  private open = 0;
  private high = 0;
  private low = 0;
  private close = 0;
  private volume = 0;
  private turnover = 0;
  /** null once a part lacks its vwap; else that of the last part. */
  private lastVwap: number | null = null;
  private vwapMissing = false;
  private tradeCount: number | null = 0;
  private status: MarketStatus = 'closed';

  constructor(private readonly sessions: boolean) {}

  clear(): void {
    this.copy(new Fold(this.sessions));
  }

  add(part: Core): void {
    if (this.sessions && part.status === 'closed') return;
    this.volume += part.volume;
    if (part.vwap === null) this.vwapMissing = true;
    else {
      this.turnover += part.vwap * part.volume;
      this.lastVwap = part.vwap;
    }
    this.tradeCount = this.tradeCount === null || part.tradeCount === null ? null : this.tradeCount + part.tradeCount;
    if (this.sessions && part.status !== 'regular') return;
    if (this.parts++ === 0) {
      this.open = part.open;
      this.high = part.high;
      this.low = part.low;
    } else {
      if (part.high > this.high) this.high = part.high;
      if (part.low < this.low) this.low = part.low;
    }
    this.close = part.close;
    if (this.status !== 'regular') this.status = part.status;
  }

  /** The candle of the parts so far; null where there is none (for 1d: no regular part). */
  result(): Core | null {
    if (this.parts === 0) return null;
    const { open, high, low, close, volume, tradeCount, status } = this;
    const vwap = this.vwapMissing ? null : volume > 0 ? this.turnover / volume : this.lastVwap;
    return { open, high, low, close, volume, vwap, tradeCount, status };
  }

  /** The candle if `part` were the last part; the fold stays as it is. */
  with(part: Core): Core | null {
    const scratch = this.sessions ? scratchSessions : scratchAll;
    scratch.copy(this);
    scratch.add(part);
    return scratch.result();
  }

  private copy(from: Fold): void {
    this.parts = from.parts;
    this.open = from.open;
    this.high = from.high;
    this.low = from.low;
    this.close = from.close;
    this.volume = from.volume;
    this.turnover = from.turnover;
    this.lastVwap = from.lastVwap;
    this.vwapMissing = from.vwapMissing;
    this.tradeCount = from.tradeCount;
    this.status = from.status;
  }
}

const scratchAll = new Fold(false);
const scratchSessions = new Fold(true);
