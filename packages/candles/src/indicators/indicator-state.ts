import type { Past } from '../needs';

/** Indicators of one candle; null before there are enough candles for them. */
export interface Indicators {
  /** RSI of 14 candles, 0..100. Where it is not null, avgRange is the ATR of 14 candles. */
  rsi: number | null;
  /** After this candle: Wilder's averages of gains, losses and true ranges; until the 15th candle their sums so far. */
  avgGain: number;
  avgLoss: number;
  avgRange: number;
  /** Means of the last 40, 80 and 160 closes. */
  ma40: number | null;
  ma80: number | null;
  ma160: number | null;
}

/** What a stored candle adds to the past of the next one. */
export type PastCandle = Pick<Indicators, 'avgGain' | 'avgLoss' | 'avgRange'> & { readonly close: number };

/** Closes that the longest mean needs. */
const CLOSES_MAX = 160;
/** Closes lie in a row, and the newest 160 move to the front when the end is reached: once in 80 candles. */
const BUFFER_LENGTH = CLOSES_MAX + 80;
/** Wilder's period: so many changes make the first average. */
const PERIOD = 14;

/**
 * Everything that the indicators of the next candle start from; about 2.5 KB, whatever the number of candles.
 *
 * The formulas are TA-Lib's: https://ta-lib.org/functions/ (SMA, RSI, ATR), without its threshold that calls averages
 * below 1e-14 (older versions: 1e-8) zero.
 *
 * The law: results depend on the closes and averages alone, bit for bit, and never on the path that led to them. So
 * candles that were corrected, restored or computed in one go come out the same. That is why the means are not running
 * sums, which would carry the rounding of every close that ever went through them: each candle sums its windows afresh,
 * in an order given by the closes' age. Four lanes, because additions to one sum have to wait for each other. What does
 * not depend on the forming close is kept until the next candle, so that updates of a forming candle cost next to nothing.
 */
export class IndicatorState {
  private readonly closes = new Float64Array(BUFFER_LENGTH);
  /** Where the next close goes; the past lies before it. */
  private end = 0;
  private known = 0;
  private avgGain = 0;
  private avgLoss = 0;
  private avgRange = 0;

  /** Whether the sums below belong to the present past. */
  private summed = false;
  /** The newest 39 closes, by lane: the first two lanes, the third, and the fourth, which the forming close completes. */
  private lanesAB = 0;
  private laneC = 0;
  private laneD = 0;
  /** The 40 closes before them, and the 80 before those. */
  private sum40Before = 0;
  private sum80Before = 0;

  private readonly result: Indicators = {
    rsi: null,
    avgGain: 0,
    avgLoss: 0,
    avgRange: 0,
    ma40: null,
    ma80: null,
    ma160: null,
  };

  /** @throws RangeError where there are more than 160 closes */
  static from(past: Past): IndicatorState {
    if (past.closes.length > CLOSES_MAX)
      throw new RangeError(`${past.closes.length} closes, at most ${CLOSES_MAX} count`);
    const state = new IndicatorState();
    state.closes.set(past.closes);
    state.end = state.known = past.closes.length;
    state.avgGain = past.avgGain;
    state.avgLoss = past.avgLoss;
    state.avgRange = past.avgRange;
    return state;
  }

  /** A copy of the past, which {@link from} makes the same state of. */
  toPast(): Past {
    const closes = [...this.closes.subarray(this.end - this.known, this.end)];
    return { closes, avgGain: this.avgGain, avgLoss: this.avgLoss, avgRange: this.avgRange };
  }

  /** Closes before the next candle, at most 160. */
  get count(): number {
    return this.known;
  }

  /** Close of the last candle, null before the first. */
  get lastClose(): number | null {
    return this.known === 0 ? null : this.closes[this.end - 1]!;
  }

  /**
   * Indicators of the candle that follows, as it stands; the state remains. Hot.
   * @returns an object that the next peek or push of this state overwrites
   */
  peek(high: number, low: number, close: number): Indicators {
    this.wilder(high, low, close);
    this.means(close);
    return this.result;
  }

  /** As {@link peek}; the candle then belongs to the past. */
  push(high: number, low: number, close: number): Indicators {
    const { avgGain, avgLoss, avgRange } = this.peek(high, low, close);
    this.append(close, avgGain, avgLoss, avgRange);
    return this.result;
  }

  /** Makes a candle the newest of the past whose averages were computed before, by a peek at it or by whoever stored it. */
  absorb(candle: PastCandle): void {
    this.append(candle.close, candle.avgGain, candle.avgLoss, candle.avgRange);
  }

  private append(close: number, avgGain: number, avgLoss: number, avgRange: number): void {
    if (this.end === BUFFER_LENGTH) {
      this.closes.copyWithin(0, BUFFER_LENGTH - CLOSES_MAX);
      this.end = CLOSES_MAX;
    }
    this.closes[this.end++] = close;
    if (this.known < CLOSES_MAX) this.known++;
    this.avgGain = avgGain;
    this.avgLoss = avgLoss;
    this.avgRange = avgRange;
    this.summed = false;
  }

  private wilder(high: number, low: number, close: number): void {
    const { result, known } = this;
    let gain = 0;
    let loss = 0;
    let range = 0;
    if (known > 0) {
      const before = this.closes[this.end - 1]!;
      if (close > before) gain = close - before;
      else loss = before - close;
      // The greatest of high - low, |high - before| and |low - before|.
      range = Math.max(high, before) - Math.min(low, before);
    }
    const smoothing = known > PERIOD ? PERIOD - 1 : 1;
    const parts = known >= PERIOD ? PERIOD : 1;
    const avgGain = (this.avgGain * smoothing + gain) / parts;
    const avgLoss = (this.avgLoss * smoothing + loss) / parts;
    result.avgGain = avgGain;
    result.avgLoss = avgLoss;
    result.avgRange = (this.avgRange * smoothing + range) / parts;
    const both = avgGain + avgLoss;
    // Divided first: rounding could lift 100 * avgGain / avgGain above 100.
    result.rsi = known < PERIOD ? null : both === 0 ? 0 : 100 * (avgGain / both);
  }

  private means(close: number): void {
    const { result } = this;
    const count = this.known + 1;
    if (!this.summed) this.sum();
    const sum40 = this.lanesAB + (this.laneC + (this.laneD + close));
    const sum80 = sum40 + this.sum40Before;
    const sum160 = sum80 + this.sum80Before;
    result.ma40 = count < 40 ? null : sum40 / 40;
    result.ma80 = count < 80 ? null : sum80 / 80;
    result.ma160 = count < 160 ? null : sum160 / 160;
  }

  /** Sums of the next candle's windows but for its own close. Sums of windows that are not full yet are never read. */
  private sum(): void {
    const { closes, end, known } = this;
    if (known >= 39) {
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      for (let i = end - 39; i < end - 3; i += 4) {
        a += closes[i]!;
        b += closes[i + 1]!;
        c += closes[i + 2]!;
        d += closes[i + 3]!;
      }
      this.lanesAB = a + closes[end - 3]! + (b + closes[end - 2]!);
      this.laneC = c + closes[end - 1]!;
      this.laneD = d;
    }
    if (known >= 79) this.sum40Before = sumOf(closes, end - 79, end - 39);
    if (known >= 159) this.sum80Before = sumOf(closes, end - 159, end - 79);
    this.summed = true;
  }
}

/** Sum of closes[from, to), a multiple of four, in four lanes. */
function sumOf(closes: Float64Array, from: number, to: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = from; i < to; i += 4) {
    a += closes[i]!;
    b += closes[i + 1]!;
    c += closes[i + 2]!;
    d += closes[i + 3]!;
  }
  return a + b + (c + d);
}
