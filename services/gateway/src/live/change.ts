import { encodeCandleMessageOf, type Interval, type WireCandle } from '@candlewire/contracts';
import { encodeBarMessage, timeframeOfInterval } from '../timeframes';
import { frameOf, payloadOf } from './frame';

/** How a client is told of a series: as in the full protocol, or as the charts of `/ws/candles` are. */
export type Format = 'candle' | 'bar';

/** One series, and the life of its numbers. */
export interface SeriesName {
  readonly symbol: string;
  readonly interval: Interval;
}

/** A change of a candle on its way to clients. Each format is encoded at most once, and only if somebody wants it. */
export class Change {
  private bar: Buffer | null = null;

  /** @param candle the frame of a candle message */
  constructor(
    readonly seq: number,
    private readonly candle: Buffer,
    private readonly series: SeriesName,
  ) {}

  /** From the bytes of a candle message, passed on as they are. Hot. */
  static ofMessage(series: SeriesName, seq: number, bytes: Buffer): Change {
    return new Change(seq, frameOf(bytes), series);
  }

  /** From a candle as the store gives it. */
  static ofCandle(series: SeriesName, epoch: string, seq: number, candleJson: string): Change {
    return new Change(
      seq,
      frameOf(encodeCandleMessageOf(series.symbol, series.interval, epoch, seq, candleJson)),
      series,
    );
  }

  frame(format: Format): Buffer {
    return format === 'candle' ? this.candle : (this.bar ??= this.encodeBar());
  }

  private encodeBar(): Buffer {
    const { candle } = JSON.parse(payloadOf(this.candle).toString()) as { candle: WireCandle };
    const { symbol, interval } = this.series;
    return frameOf(encodeBarMessage(symbol, timeframeOfInterval(interval), candle));
  }
}
