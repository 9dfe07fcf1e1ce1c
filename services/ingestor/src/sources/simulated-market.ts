import type { MarketCalendar } from '@candlewire/candles';
import { type Bar, DAY_MS, HOUR_MS, MINUTE_MS, type Rev } from '@candlewire/contracts';
import { createPricePath, fractionOf, hash, keyOf, type PricePath, SECONDS } from './simulated-price';

/** Hot, and in tests a global is looked up through the sandbox at each use. */
const { ceil, floor, round } = Math;

const SECOND_MS = 1_000;
/** Symbols are cheap to make anew: when there are as many, all are forgotten. */
const INSTRUMENTS_KEPT_MAX = 10_000;

const SHARES_PER_MINUTE_MIN = 1_000;
const SHARES_PER_MINUTE_MAX = 40_000;
const SHARES_PER_TRADE = 100;
const REGULAR_FROM_MS = 9.5 * HOUR_MS;
const REGULAR_MS = 6.5 * HOUR_MS;
/** In pre and post one second in 33 has a trade, so that one minute in six has none and no bar. */
const THIN_CHANCE = 0.03;
const THIN_PACE = 0.5;

/** Of 10,000 minutes; the others come complete and at once. */
const CORRECTED = 5;
const LATE = 100;
const UPDATED = 400;
const FIRST_DELAY_MAX_S = 2;
const LATE_FROM_S = 60;
const LATE_TO_S = 300;
const UPDATED_FROM_S = 28;
const UPDATED_TO_S = 32;
/** Ticks that a first bar may lack. */
const MISSING_TICKS_MAX = 3;
/**
 * Few and whole minutes, so that what falls due is found with three looks a minute. Descending; with the first of them
 * the last of a Friday is corrected before the Sunday.
 */
const CORRECTION_DELAYS_MS = [25 * HOUR_MS, 6 * HOUR_MS, 2 * HOUR_MS] as const;
/** How far from the market a print is that is corrected later, as a fraction of the price. */
const BAD_PRINT_DISTANCE = 0.03;

/** No minute that ended longer ago has any delivery still to come: from then on history alone tells of it. */
export const SETTLED_AFTER_MS = CORRECTION_DELAYS_MS[0];

export interface SimulatedDelivery {
  /** When the feed sends it, epoch ms, a whole second. */
  readonly at: number;
  readonly bar: Bar;
}

/**
 * A market as a pure function of (seed, calendar, symbol, time), in every process and at any time. Minutes and seconds
 * are given by their left edges, epoch ms.
 */
export interface SimulatedMarket {
  /** The price at a second, in whole cents, always positive; also while the market is closed. */
  priceAt(symbol: string, secondMs: number): number;
  /** The trades of a second as one, with the volume of its minute up to and with them; null where nobody traded. */
  tick(symbol: string, secondMs: number): { readonly price: number; readonly volume: number } | null;
  /** The minute's ticks folded, rev 4; null where there was none. vwap lies within low..high and has four decimals. */
  trueBar(symbol: string, minuteMs: number): Bar | null;
  /**
   * What a feed sends for a minute, ascending by time: one bar (rev 0) nearly always, which may come late or lack the last
   * ticks, then perhaps an updated bar (rev 1) and a correction (rev 2). The one of the greatest rev equals the true bar.
   */
  deliveries(symbol: string, minuteMs: number): readonly SimulatedDelivery[];
  /** What a feed sends in a second, of whatever minutes, ascending by minute. */
  due(symbol: string, secondMs: number): readonly Bar[];
}

interface Instrument {
  readonly path: PricePath;
  readonly sharesPerMinute: number;
  readonly volumeKey: number;
  readonly burstKey: number;
  readonly planKey: number;
  readonly detailKey: number;
}

/** How the news of a minute travel; times as epoch ms. */
interface Plan {
  readonly firstAt: number;
  /** Ticks that the first bar lacks. */
  readonly missing: number;
  readonly updatedAt: number | null;
  /** What was sent before holds a bad print. */
  readonly correctedAt: number | null;
}

interface Flaw {
  readonly missing: number;
  readonly badPrint: boolean;
}

const FLAWLESS: Flaw = { missing: 0, badPrint: false };

export function createSimulatedMarket(options: {
  readonly seed: number;
  readonly calendar: MarketCalendar;
}): SimulatedMarket {
  const { seed, calendar } = options;
  const instruments = new Map<string, Instrument>();
  // Of the minute at hand: filled and read within one call.
  const cents = new Int32Array(SECONDS);
  const volumes = new Int32Array(SECONDS);

  function instrumentOf(symbol: string): Instrument {
    let instrument = instruments.get(symbol);
    if (instrument === undefined) {
      if (instruments.size === INSTRUMENTS_KEPT_MAX) instruments.clear();
      instruments.set(symbol, (instrument = createInstrument(symbol, keyOf(`${seed}:${symbol}`))));
    }
    return instrument;
  }

  /** Fills the ticks of a minute; false where the market is closed. */
  function fill(instrument: Instrument, minuteMs: number): boolean {
    const status = calendar.statusOf(minuteMs);
    if (status === 'closed') return false;
    instrument.path.fill(minuteMs, cents);
    const thin = status !== 'regular';
    const draw = fractionOf(hash(instrument.burstKey, minuteMs / MINUTE_MS));
    const burst = 0.5 + 1.5 * draw * draw;
    const pace = thin ? THIN_PACE : paceOf(calendar, minuteMs);
    fillVolumes(instrument, minuteMs, (instrument.sharesPerMinute * pace * burst) / SECONDS, thin ? THIN_CHANCE : 1);
    return true;
  }

  function fillVolumes({ volumeKey }: Instrument, minuteMs: number, mean: number, chance: number): void {
    const first = minuteMs / SECOND_MS;
    for (let second = 0; second < SECONDS; second++) {
      const h = hash(volumeKey, first + second);
      const size = (h & 0xffff) / 0x10000;
      volumes[second] = h >>> 16 < chance * 0x10000 ? 1 + floor(3 * mean * size * size) : 0;
    }
  }

  /** Hot: once per bar of history. */
  function fold(symbol: string, openTime: number, rev: Rev, flaw: Flaw = FLAWLESS): Bar | null {
    const instrument = instrumentOf(symbol);
    if (!fill(instrument, openTime)) return null;
    if (flaw.badPrint) misprint(cents, volumes, hash(instrument.detailKey, -openTime / MINUTE_MS));
    let open = 0;
    let high = 0;
    let low = Number.POSITIVE_INFINITY;
    let close = 0;
    let volume = 0;
    let tradeCount = 0;
    let turnover = 0;
    for (let second = 0; second < SECONDS - flaw.missing; second++) {
      const shares = volumes[second]!;
      if (shares === 0) continue;
      const price = cents[second]!;
      if (volume === 0) open = price;
      if (price > high) high = price;
      if (price < low) low = price;
      close = price;
      volume += shares;
      tradeCount += 1 + floor(shares / SHARES_PER_TRADE);
      turnover += price * shares;
    }
    if (volume === 0) return null;
    // Whole cents and shares up to here. Rounded to a grid that holds low and high, it cannot fall outside of them.
    const vwap = round((100 * turnover) / volume) / 10_000;
    const prices = { open: open / 100, high: high / 100, low: low / 100, close: close / 100 };
    return { symbol, openTime, ...prices, volume, tradeCount, vwap, rev };
  }

  const minuteOf = (secondMs: number) => floor(secondMs / MINUTE_MS) * MINUTE_MS;

  const market: SimulatedMarket = {
    priceAt(symbol, secondMs) {
      const minuteMs = minuteOf(secondMs);
      instrumentOf(symbol).path.fill(minuteMs, cents);
      return cents[floor((secondMs - minuteMs) / SECOND_MS)]! / 100;
    },

    tick(symbol, secondMs) {
      const minuteMs = minuteOf(secondMs);
      if (!fill(instrumentOf(symbol), minuteMs)) return null;
      const second = floor((secondMs - minuteMs) / SECOND_MS);
      if (volumes[second] === 0) return null;
      let volume = 0;
      for (let earlier = 0; earlier <= second; earlier++) volume += volumes[earlier]!;
      return { price: cents[second]! / 100, volume };
    },

    trueBar: (symbol, minuteMs) => fold(symbol, minuteMs, 4),

    deliveries(symbol, minuteMs) {
      const { firstAt, missing, updatedAt, correctedAt } = planOf(instrumentOf(symbol), minuteMs);
      const badPrint = correctedAt !== null;
      const found: SimulatedDelivery[] = [];
      const add = (at: number | null, bar: Bar | null) => {
        if (at !== null && bar !== null) found.push({ at, bar });
      };
      add(firstAt, fold(symbol, minuteMs, 0, { missing, badPrint }));
      if (updatedAt !== null) add(updatedAt, fold(symbol, minuteMs, 1, { missing: 0, badPrint }));
      if (correctedAt !== null) add(correctedAt, fold(symbol, minuteMs, 2));
      return found;
    },

    // Hot: once per symbol and second. Nearly always there is nothing, and no bar is computed to find that out.
    due(symbol, secondMs) {
      const instrument = instrumentOf(symbol);
      const bars: Bar[] = [];
      const look = (minuteMs: number) => {
        if (calendar.statusOf(minuteMs) === 'closed') return;
        const { firstAt, updatedAt, correctedAt } = planOf(instrument, minuteMs);
        if (firstAt !== secondMs && updatedAt !== secondMs && correctedAt !== secondMs) return;
        for (const { at, bar } of market.deliveries(symbol, minuteMs)) if (at === secondMs) bars.push(bar);
      };
      if (secondMs % MINUTE_MS === 0) {
        for (const delayMs of CORRECTION_DELAYS_MS) look(secondMs - delayMs - MINUTE_MS);
      }
      const newest = minuteOf(secondMs) - MINUTE_MS;
      const oldest = secondMs - LATE_TO_S * SECOND_MS - MINUTE_MS;
      for (let minuteMs = ceil(oldest / MINUTE_MS) * MINUTE_MS; minuteMs <= newest; minuteMs += MINUTE_MS) {
        look(minuteMs);
      }
      return bars;
    },
  };
  return market;
}

function createInstrument(symbol: string, key: number): Instrument {
  const draw = fractionOf(hash(key, -3));
  return {
    path: createPricePath(symbol, key),
    sharesPerMinute: SHARES_PER_MINUTE_MIN + (SHARES_PER_MINUTE_MAX - SHARES_PER_MINUTE_MIN) * draw * draw,
    volumeKey: hash(key, -4),
    burstKey: hash(key, -5),
    planKey: hash(key, -6),
    detailKey: hash(key, -7),
  };
}

/** How busy the time of day is: 1 on average over a session. */
function paceOf(calendar: MarketCalendar, minuteMs: number): number {
  const elapsedMs = minuteMs - calendar.openTimeOf('1d', minuteMs);
  if (calendar.kind === '24x7') {
    const part = elapsedMs / DAY_MS;
    return 0.6 + 2.4 * part * (1 - part);
  }
  const fromNoon = (2 * (elapsedMs - REGULAR_FROM_MS)) / REGULAR_MS - 1;
  return 0.7 + 1.5 * fromNoon * fromNoon * fromNoon * fromNoon;
}

function planOf({ planKey, detailKey }: Instrument, minuteMs: number): Plan {
  const minute = minuteMs / MINUTE_MS;
  const end = minuteMs + MINUTE_MS;
  const kind = (hash(planKey, minute) >>> 0) % 10_000;
  const detail = hash(detailKey, minute) >>> 0;
  const firstAt = end + (detail % (FIRST_DELAY_MAX_S + 1)) * SECOND_MS;
  const plain: Plan = { firstAt, missing: 0, updatedAt: null, correctedAt: null };
  if (kind >= CORRECTED + LATE + UPDATED) return plain;
  const more = detail >>> 8;
  if (kind >= CORRECTED + UPDATED) {
    return { ...plain, firstAt: end + between(more, LATE_FROM_S, LATE_TO_S) * SECOND_MS };
  }
  const missing = between(more >>> 8, 1, MISSING_TICKS_MAX);
  const updatedAt = end + between(more, UPDATED_FROM_S, UPDATED_TO_S) * SECOND_MS;
  const correctedAt = kind < CORRECTED ? end + CORRECTION_DELAYS_MS[kind % CORRECTION_DELAYS_MS.length]! : null;
  return { firstAt, missing, updatedAt, correctedAt };
}

function between(draw: number, from: number, to: number): number {
  return from + (draw % (to - from + 1));
}

/** Puts the price of one trade of the minute far from the market. */
function misprint(cents: Int32Array, volumes: Int32Array, draw: number): void {
  const traded = [...volumes.keys()].filter((second) => volumes[second]! > 0);
  const second = traded[(draw >>> 1) % traded.length];
  if (second === undefined) return;
  cents[second] = round(cents[second]! * (1 + (draw < 0 ? BAD_PRINT_DISTANCE : -BAD_PRINT_DISTANCE)));
}
