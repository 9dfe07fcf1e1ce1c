import { INTERVALS, type Interval, type WireCandle } from '@candlewire/contracts';
import { waitFor } from '@candlewire/testkit';
import { PATIENCE_MS, type Pipeline } from '../pipeline/harness';
import { headsOf } from '../pipeline/heads';
import { pagesForward } from '../pipeline/pages';
import type { Witness } from './witness';

const PAGE_ROWS = 1_000;
const FAULTS_SHOWN = 10;

/** What REST says of one series. */
type Rest = ReadonlyMap<string, WireCandle>;

/**
 * Waits until every witness has been told the last change of each series that it follows, and compares what each of them
 * folded together with what the gateway answers over HTTP, field by field. Nothing may change meanwhile.
 */
export async function expectWhole(pipeline: Pipeline, gateway: string, witnesses: readonly Witness[]): Promise<void> {
  const heads = new Map((await headsOf(pipeline.store)).map((one) => [`${one.symbol} ${one.interval}`, one.seq]));
  const lagging = (): string[] =>
    witnesses.flatMap((witness, i) =>
      seriesOf(witness).flatMap(({ symbol, interval, name }) => {
        const [last, head] = [witness.lastOf(symbol, interval), heads.get(name) ?? 0];
        return last === head ? [] : [`client ${i}: ${name} is at ${last}, the store at ${head}`];
      }),
    );
  await waitFor(() => lagging().length === 0, { timeoutMs: PATIENCE_MS }).catch(() => {
    const silent = lagging();
    throw new Error(`${silent.length} series are silent, e.g.\n${silent.slice(0, FAULTS_SHOWN).join('\n')}`);
  });
  const stored = await storedOf(gateway, witnesses);
  const faults = witnesses.flatMap((witness, i) =>
    [...witness.faults, ...differences(witness, stored)].map((fault) => `client ${i}: ${fault}`),
  );
  expect(faults.slice(0, FAULTS_SHOWN)).toEqual([]);
}

interface Named {
  readonly symbol: string;
  readonly interval: Interval;
  readonly name: string;
}

function seriesOf({ query }: Witness): Named[] {
  return query.symbols.flatMap((symbol) =>
    query.intervals.map((interval) => ({ symbol, interval, name: `${symbol} ${interval}` })),
  );
}

async function storedOf(gateway: string, witnesses: readonly Witness[]): Promise<ReadonlyMap<string, Rest>> {
  const stored = new Map<string, Rest>();
  for (const symbol of new Set(witnesses.flatMap(({ query }) => query.symbols))) {
    for (const interval of INTERVALS) {
      const candles = await pagesForward(gateway, symbol, interval, PAGE_ROWS);
      stored.set(`${symbol} ${interval}`, new Map(candles.map((one) => [one.timestamp, one])));
    }
  }
  return stored;
}

/** Whoever began with n candles need not know what is older, unless it changed since. */
function differences(witness: Witness, stored: ReadonlyMap<string, Rest>): string[] {
  return seriesOf(witness).flatMap(({ symbol, interval, name }) => {
    const { from, oldest } = witness.series.get(name)!;
    const rows = stored.get(name)!;
    const faults: string[] = [];
    for (const candle of rows.values()) {
      const held = witness.table.get(symbol, interval, candle.timestamp);
      const isDue = candle.seq > from || (oldest !== null && candle.timestamp >= oldest);
      if (held === undefined ? isDue : !same(held, candle))
        faults.push(`${name}: holds ${JSON.stringify(held)}, stored is ${JSON.stringify(candle)}`);
    }
    for (const { timestamp } of witness.table.candles(symbol, interval))
      if (!rows.has(timestamp)) faults.push(`${name}: holds ${timestamp}, which is not stored`);
    return faults;
  });
}

/** Field by field, numbers bit by bit. */
function same(a: object, b: object): boolean {
  const [one, other] = [Object.entries(a), Object.entries(b)];
  const others = new Map(other);
  return one.length === other.length && one.every(([name, value]) => Object.is(value, others.get(name)));
}
