import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bar, MINUTE_MS, toIso } from '@candlewire/contracts';

export const LOG_SYMBOLS = ['AAPL', 'AMZN', 'GOOG', 'JPM', 'KO', 'META', 'MSFT', 'NVDA', 'TSLA', 'XOM'] as const;

/** Monday to Friday, 9:00 to 16:30 in New York: the end of the pre session, the regular one, the start of the post session. */
const FIRST_MINUTE = Date.UTC(2025, 10, 3, 14, 0);
const DAYS = 5;
const MINUTES_A_DAY = 450;

/** Shares of the minutes. */
const MISSING = 0.1;
const LATE = 0.03;
const UPDATED = 0.06;
const REPLACED = 0.005;
const DUPLICATE = 0.02;
const STALE = 0.01;
const CORRECTED = 0.004;

export interface DeliveryLog {
  readonly file: string;
  readonly deliveries: number;
  remove(): void;
}

/** One delivery and when it came, epoch ms. */
export interface Delivery {
  readonly arrival: number;
  readonly bar: Bar;
}

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * A week of ten symbols as a feed may deliver it: some 20,000 minutes in order of arrival, among them late ones, updated
 * ones, others sent twice, stale bars after their update, and corrections of minutes of any age.
 */
export function randomDeliveries(seed: number): Delivery[] {
  const random = randomOf(seed);
  const between = (low: number, high: number) => low + random() * (high - low);
  const deliveries: Delivery[] = [];
  for (const symbol of LOG_SYMBOLS) {
    let price = between(20, 400);
    const delivered: Bar[] = [];
    const barAt = (openTime: number): Bar => {
      const open = cents(price);
      price *= 1 + between(-0.002, 0.002);
      return priced({ symbol, openTime, open, close: cents(price), volume: Math.floor(between(1, 50_000)) });
    };
    for (let minute = 0; minute < DAYS * MINUTES_A_DAY; minute++) {
      if (random() < MISSING) continue;
      const day = Math.floor(minute / MINUTES_A_DAY);
      const bar = barAt(FIRST_MINUTE + day * 86_400_000 + (minute % MINUTES_A_DAY) * MINUTE_MS);
      const end = bar.openTime + MINUTE_MS;
      const arrival = end + between(50, 900) + (random() < LATE ? between(1, 15) * MINUTE_MS : 0);
      const deliver = (one: Bar, after: number) => deliveries.push({ arrival: Math.floor(arrival + after), bar: one });
      deliver(bar, 0);
      if (random() < DUPLICATE) deliver(bar, between(100, 90_000));
      if (random() < REPLACED) deliver(changed(bar, 0, random), between(100, 90_000));
      if (random() < UPDATED) deliver(changed(bar, 1, random), between(20_000, 40_000));
      if (random() < STALE) deliver(bar, between(60_000, 600_000));
      delivered.push(bar);
      if (random() < CORRECTED) deliver(changed(delivered[Math.floor(random() * delivered.length)]!, 2, random), 0);
    }
  }
  return deliveries.sort((a, b) => a.arrival - b.arrival);
}

/** Writes deliveries to a temporary file in the form that a replay reads. */
export function writeLog(deliveries: readonly Delivery[]): DeliveryLog {
  const folder = mkdtempSync(join(tmpdir(), 'candlewire-log-'));
  const file = join(folder, 'deliveries.csv');
  const lines = deliveries.map(({ arrival, bar }, i) =>
    [
      ...[i + 1, toIso(arrival), kindOf(bar), bar.rev, bar.symbol, toIso(bar.openTime)],
      ...[bar.open, bar.high, bar.low, bar.close, bar.volume, bar.tradeCount ?? '', bar.vwap ?? ''],
    ].join(','),
  );
  const header = 'seq,arrival,kind,rev,symbol,ts,open,high,low,close,volume,trade_count,vwap';
  writeFileSync(file, `${[header, ...lines].join('\n')}\n`);
  return { file, deliveries: deliveries.length, remove: () => rmSync(folder, { recursive: true }) };
}

function kindOf({ rev }: Bar): string {
  return ['b', 'u', 'c', 'c', 'h'][rev]!;
}

const cents = (price: number) => Math.round(price * 100) / 100;

function priced(core: Pick<Bar, 'symbol' | 'openTime' | 'open' | 'close' | 'volume'>, rev: Bar['rev'] = 0): Bar {
  const { open, close, volume } = core;
  const high = cents(Math.max(open, close) * 1.0005);
  const low = cents(Math.min(open, close) * 0.9995);
  return { ...core, high, low, tradeCount: Math.ceil(volume / 90), vwap: (open + high + low + close) / 4, rev };
}

function changed(bar: Bar, rev: Bar['rev'], random: () => number): Bar {
  const close = cents(bar.close * (1 + (random() - 0.5) * 0.01));
  return priced({ ...bar, close, volume: bar.volume + Math.floor(random() * 500) }, rev);
}
