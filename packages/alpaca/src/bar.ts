import { type Bar, type BarRefusal, parseBar, type Rev, toIso } from '@candlewire/contracts';
import type { BarMessage } from './messages';
import { parseTimestamp } from './timestamp';

/** A bar in an answer of the REST API, and without `T` and `S` one of the stream. */
export interface WireBar {
  readonly t: string;
  readonly o: number;
  readonly h: number;
  readonly l: number;
  readonly c: number;
  readonly v: number;
  readonly n?: number;
  readonly vw?: number;
}

/** What may have come for one: nothing of it is checked. */
export type RawWireBar = { readonly [Field in keyof WireBar]?: unknown };

/**
 * Our bar of Alpaca's, or why it is refused. `n` and `vw` may be absent.
 *
 * @param symbol as given in `S`, or in the answer's map
 * @param rev what the delivery is: 0 of `b`, 1 of `u`, 4 of history
 * @param clock of the delivery, epoch ms
 */
export function toBar(symbol: unknown, wire: RawWireBar, rev: Rev, clock: number): Bar | BarRefusal {
  return parseBar(
    {
      symbol,
      openTime: openTimeOf(wire.t),
      open: wire.o,
      high: wire.h,
      low: wire.l,
      close: wire.c,
      volume: wire.v,
      tradeCount: wire.n,
      vwap: wire.vw,
      rev,
    },
    clock,
  );
}

/** Undefined where there is none, NaN where it is no time; off the minute, if only by nanoseconds, stays so. */
function openTimeOf(t: unknown): number | undefined {
  if (t === undefined || t === null) return undefined;
  const instant = typeof t === 'string' ? parseTimestamp(t) : null;
  if (instant === null) return Number.NaN;
  return instant.ns > 0 ? instant.ms + 0.5 : instant.ms;
}

/** What is not known (null) is left out. */
export function wireBarOf(bar: Bar): WireBar {
  return {
    t: toIso(bar.openTime),
    o: bar.open,
    h: bar.high,
    l: bar.low,
    c: bar.close,
    v: bar.volume,
    ...(bar.tradeCount !== null && { n: bar.tradeCount }),
    ...(bar.vwap !== null && { vw: bar.vwap }),
  };
}

export function barMessage(T: BarMessage['T'], bar: Bar): BarMessage {
  const { open: o, high: h, low: l, close: c, volume: v, tradeCount, vwap } = bar;
  const message = { T, S: bar.symbol, o, h, l, c, v, t: toIso(bar.openTime) };
  return tradeCount === null || vwap === null
    ? { ...message, ...(tradeCount !== null && { n: tradeCount }), ...(vwap !== null && { vw: vwap }) }
    : { ...message, n: tradeCount, vw: vwap };
}

/** The JSON of {@link wireBarOf}. Hot: ten thousand of them make a page. */
export function encodeWireBar(bar: Bar): string {
  const n = bar.tradeCount === null ? '' : `,"n":${bar.tradeCount}`;
  const vw = bar.vwap === null ? '' : `,"vw":${bar.vwap}`;
  return `{"t":"${toIso(bar.openTime)}","o":${bar.open},"h":${bar.high},"l":${bar.low},"c":${bar.close},"v":${bar.volume}${n}${vw}}`;
}
