import { readFileSync } from 'node:fs';
import { createCalendar, IndicatorState } from '@candlewire/candles';
import { MINUTE_MS } from '@candlewire/contracts';
import type { ATR, RSI, SMA } from 'trading-signals';
import { type BenchTable, median } from './table';

const CANDLES = 200_000;
/** How often the newest candle changes before the next one begins, in the run with a forming candle. */
const UPDATES = 5;
const ROUNDS = 7;
const START_MS = Date.UTC(2024, 0, 2, 14, 30);

interface Ohlc {
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/** One way of doing the work: `run` does all of it and returns a number that depends on every result. */
interface Contender {
  readonly label: string;
  readonly run: () => number;
}

/**
 * Indicators (means of 40, 80, 160 closes, RSI 14, ATR 14) against trading-signals, and market status against a cached
 * Intl formatter. Both ways run in turns on the same input, so that other load meets both.
 */
export async function indicatorsBench(): Promise<BenchTable> {
  const candles = randomWalk(CANDLES);
  const library = await tradingSignals();
  const minutes = Float64Array.from({ length: CANDLES }, (_, i) => START_MS + i * MINUTE_MS);
  return {
    title: `Indicators and market status, ${CANDLES.toLocaleString('en-US')} candles, median of ${ROUNDS} rounds`,
    columns: ['work', 'other way', 'other ns', 'own ns', 'times faster'],
    rows: [
      compare('each candle once', CANDLES, ownFinal(candles), {
        label: 'trading-signals',
        run: () => library(candles, 0),
      }),
      compare(`${UPDATES} updates, then final`, CANDLES, ownForming(candles), {
        label: 'trading-signals, replace',
        run: () => library(candles, UPDATES),
      }),
      compare('market status of a minute', CANDLES, ownStatus(minutes), intlMinute(minutes)),
    ],
    notes: [
      'per candle: SMA 40, 80, 160, RSI 14, ATR 14 (Wilder)',
      'Intl yields the local time only, on ascending minutes; the calendar also knows sessions and holidays',
    ],
  };
}

function compare(work: string, items: number, own: Contender, other: Contender): (string | number)[] {
  const ownNs: number[] = [];
  const otherNs: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const a = nsPerItem(own, items);
    const b = nsPerItem(other, items);
    // The first round warms the compiler up.
    if (round > 0) {
      ownNs.push(a);
      otherNs.push(b);
    }
  }
  const ratio = median(ownNs.map((ns, i) => otherNs[i]! / ns));
  return [work, other.label, median(otherNs), median(ownNs), ratio];
}

function nsPerItem({ label, run }: Contender, items: number): number {
  const start = process.hrtime.bigint();
  if (!Number.isFinite(run())) throw new Error(`${label} computed something else than numbers`);
  return Number(process.hrtime.bigint() - start) / items;
}

function ownFinal(candles: readonly Ohlc[]): Contender {
  return {
    label: 'own',
    run: () => {
      const state = new IndicatorState();
      let sum = 0;
      for (const { high, low, close } of candles) {
        const { rsi, avgRange, ma40, ma80, ma160 } = state.push(high, low, close);
        sum += (rsi ?? 0) + avgRange + (ma40 ?? 0) + (ma80 ?? 0) + (ma160 ?? 0);
      }
      return sum;
    },
  };
}

function ownForming(candles: readonly Ohlc[]): Contender {
  return {
    label: 'own',
    run: () => {
      const state = new IndicatorState();
      let sum = 0;
      for (const { high, low, close } of candles) {
        for (let update = UPDATES; update > 0; update--) {
          const { rsi, avgRange, ma40, ma80, ma160 } = state.peek(high, low, close - update / 1_000);
          sum += (rsi ?? 0) + avgRange + (ma40 ?? 0) + (ma80 ?? 0) + (ma160 ?? 0);
        }
        const { rsi, avgRange, ma40, ma80, ma160 } = state.push(high, low, close);
        sum += (rsi ?? 0) + avgRange + (ma40 ?? 0) + (ma80 ?? 0) + (ma160 ?? 0);
      }
      return sum;
    },
  };
}

/** The library's indicators side by side; its first value of a candle adds it, the others replace it. */
async function tradingSignals(): Promise<(candles: readonly Ohlc[], updates: number) => number> {
  const signals = await import('trading-signals');
  return (candles, updates) => {
    const means: SMA[] = [40, 80, 160].map((length) => new signals.SMA(length));
    const rsi: RSI = new signals.RSI(14, signals.WSMA);
    const atr: ATR = new signals.ATR(14, signals.WSMA);
    let sum = 0;
    for (const { high, low, close } of candles) {
      for (let update = updates; update >= 0; update--) {
        const replace = update < updates;
        const price = close - update / 1_000;
        for (const mean of means) sum += mean.update(price, replace) ?? 0;
        sum += (rsi.update(price, replace) ?? 0) + (atr.update({ high, low, close: price }, replace) ?? 0);
      }
    }
    return sum;
  };
}

function ownStatus(minutes: Float64Array): Contender {
  const calendar = createCalendar(
    'nyse',
    readFileSync(require.resolve('@candlewire/candles/nyse-calendar.csv'), 'utf8'),
  );
  return {
    label: 'own',
    run: () => {
      let regular = 0;
      for (const minute of minutes) if (calendar.statusOf(minute) === 'regular') regular++;
      return regular;
    },
  };
}

function intlMinute(minutes: Float64Array): Contender {
  const formatter = new Intl.DateTimeFormat('en-US', {
    timeZone: 'America/New_York',
    hourCycle: 'h23',
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
  });
  return {
    label: 'Intl',
    run: () => {
      let length = 0;
      for (const minute of minutes) length += formatter.format(minute).length;
      return length;
    },
  };
}

/** Seeded, so that every run has the same candles. */
function randomWalk(length: number): Ohlc[] {
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  let close = 100;
  return Array.from({ length }, () => {
    const open = close;
    close = Math.max(1, open + (random() - 0.5) / 5);
    return { high: Math.max(open, close) + random() / 20, low: Math.min(open, close) - random() / 20, close };
  });
}
