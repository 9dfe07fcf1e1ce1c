import { MINUTE_MS } from '@candlewire/contracts';

/**
 * A price as a pure function of (seed, symbol, second): layers of noise of ever longer periods, whose swing grows with
 * the square root of the period, as that of a random walk does. Nothing is walked through, so every moment of every year
 * costs the same, and each process finds the same price.
 *
 * Only integer hashing, + - * / and square roots, all of which are exact by IEEE 754: Math.exp and Math.log may differ in
 * the last bit from one engine to the next.
 */
export interface PricePath {
  /** Writes the prices of the 60 seconds of a minute, in cents, always positive. `minuteMs` is its left edge. */
  fill(minuteMs: number, cents: Int32Array): void;
}

/** Hot, and in tests a global is looked up through the sandbox at each use. */
const { imul, round } = Math;

/** Of a minute. */
export const SECONDS = 60;
/** They divide a minute, so that no cell reaches over its end. */
const FAST_PERIODS_S = [30, 15, 6, 3, 1];
/** Periods of 1, 2, 4 … minutes, the longest 364 days; beyond it a price only swings about its base. */
const SLOW_LAYERS = 20;
const FAST_SWINGS = FAST_PERIODS_S.map((seconds) => Math.sqrt(seconds));
const SLOW_SWINGS = Array.from({ length: SLOW_LAYERS }, (_, layer) => Math.sqrt(60 * 2 ** layer));
/** Standard deviation of the sum of all layers over a day; measured. */
const DAY_SPREAD = 350;

/** Prices like those of late 2025, so that well-known names look familiar. */
const KNOWN_BASES: Readonly<Record<string, number>> = {
  AAPL: 230,
  AMZN: 215,
  GOOGL: 190,
  META: 620,
  MSFT: 470,
  NVDA: 170,
  QQQ: 560,
  SPY: 620,
  TSLA: 330,
};
const BASE_MIN = 20;
const BASE_MAX = 500;
/** Standard deviation of a day's change, as a fraction of the price. */
const VOLATILITY_MIN = 0.01;
const VOLATILITY_MAX = 0.02;

/** A 32 bit hash of a number under a key. Hot: some two hundred times a minute of a symbol. */
export function hash(key: number, n: number): number {
  let h = key ^ imul(n, 0x9e3779b1);
  h = imul(h ^ (h >>> 16), 0x85ebca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The key of a text, for {@link hash}. */
export function keyOf(text: string): number {
  let key = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) key = imul(key ^ text.charCodeAt(i), 0x01000193);
  return hash(key, text.length);
}

/** A hash as a fraction of 1, which it never reaches. */
export function fractionOf(h: number): number {
  return (h >>> 0) / 2 ** 32;
}

/** @param key of seed and symbol */
export function createPricePath(symbol: string, key: number): PricePath {
  const drawn = fractionOf(hash(key, -1));
  const baseCents = 100 * (KNOWN_BASES[symbol] ?? BASE_MIN + (BASE_MAX - BASE_MIN) * drawn * drawn);
  const volatility = VOLATILITY_MIN + (VOLATILITY_MAX - VOLATILITY_MIN) * fractionOf(hash(key, -2));
  const scale = volatility / DAY_SPREAD;
  const slowKeys = SLOW_SWINGS.map((_, layer) => hash(key, layer));
  const fastKeys = FAST_SWINGS.map((_, layer) => hash(key, SLOW_LAYERS + layer));
  const sums = new Float64Array(SECONDS);

  /** The layers whose cells are whole minutes: within a minute each of them, and so their sum, is a straight line. */
  function slowAt(minute: number): number {
    let sum = 0;
    for (let layer = 0; layer < SLOW_LAYERS; layer++) {
      const cell = minute >> layer;
      const left = hash(slowKeys[layer]!, cell);
      const part = (minute - (cell << layer)) / (1 << layer);
      sum += SLOW_SWINGS[layer]! * (left + (hash(slowKeys[layer]!, cell + 1) - left) * part);
    }
    return sum;
  }

  function addFast(minute: number, layer: number): void {
    const key = fastKeys[layer]!;
    const swing = FAST_SWINGS[layer]!;
    const period = FAST_PERIODS_S[layer]!;
    let cell = minute * (SECONDS / period);
    let left = hash(key, cell);
    for (let from = 0; from < SECONDS; from += period) {
      const right = hash(key, ++cell);
      for (let i = 0; i < period; i++) sums[from + i]! += swing * (left + (right - left) * (i / period));
      left = right;
    }
  }

  return {
    fill(minuteMs, cents) {
      const minute = minuteMs / MINUTE_MS;
      const from = slowAt(minute);
      const slope = (slowAt(minute + 1) - from) / SECONDS;
      for (let second = 0; second < SECONDS; second++) sums[second] = from + slope * second;
      for (let layer = 0; layer < fastKeys.length; layer++) addFast(minute, layer);
      for (let second = 0; second < SECONDS; second++) {
        // Hashes are fractions of 2^31 from -1 to 1.
        cents[second] = round(baseCents * grow(scale * (sums[second]! / 2 ** 31)));
      }
    },
  };
}

/**
 * (1 + x/1024)^1024, which does for e^x. All layers at their ends make |x| about 1.1, so that a price stays between a
 * third and three times of its base.
 */
function grow(x: number): number {
  let factor = 1 + x / 1024;
  for (let doubling = 0; doubling < 10; doubling++) factor *= factor;
  return factor;
}
