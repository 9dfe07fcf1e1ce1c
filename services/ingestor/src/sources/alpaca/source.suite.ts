import { type Bar, type FeedState, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar, pause, silentLogger } from '@candlewire/runtime';
import {
  type ConnectionFault,
  type ConnectionRecord,
  createAlpacaMarket,
  FAKE_KEY,
  FAKE_SECRET,
  type FakeAlpaca,
  type FakeAlpacaOptions,
  MONDAY_OPEN,
  manualClock,
  startFakeAlpaca,
  waitFor,
} from '@candlewire/testkit';
import type { Delivery, Source } from '../source';
import { type AlpacaSourceOptions, createAlpacaSource } from './alpaca-source';
import type { AlpacaSettings } from './settings';
import { TIMINGS, type Timings } from './timings';

/** All pauses are short. Answers are waited for as ever, for a busy machine may take its time: who tests a deadline makes it short. */
export const QUICK: Timings = {
  ...TIMINGS,
  closeMs: 300,
  retryFirstMs: 10,
  retryMaxMs: 300,
  stableMs: 600,
  limitMs: 900,
  refusedFirstMs: 300,
  refusedMaxMs: 600,
  symbolMs: 6_000,
  errorMs: 50,
  // Each minute of the market begins when the bars of the last one are there; it is half a minute old at once.
  missedMs: 45_000,
  lookMs: 5,
  clockMs: 10,
};

export const START = MONDAY_OPEN + 31_000;

/** A bar in each minute of the session, and an update of many. */
const LIVELY = createAlpacaMarket({ chances: { quiet: 0, late: 0.4 } });

/** A source on a fake server, and what it delivered. */
export interface Rig {
  readonly fake: FakeAlpaca;
  readonly source: Source;
  readonly deliveries: readonly Delivery[];
  readonly bars: readonly Bar[];
  readonly states: readonly FeedState[];
  /** The last one that was told. */
  readonly state: FeedState;
  readonly reason: string | undefined;
  readonly clock: number | null;
  symbols: readonly string[];
  /** While true the reader takes nothing. */
  away: boolean;
  /** Waits until it is live with all of its symbols, or these. */
  live(...symbols: string[]): Promise<void>;
  /** Moves the market on by so many minutes, a minute at a time, and waits for the bars of each. */
  minutes(count: number): Promise<void>;
  /** Bars of the stream that there should be by now, from a minute on. */
  expected(fromMs: number): Bar[];
  end(): Promise<void>;
}

export interface RigOptions extends Partial<FakeAlpacaOptions> {
  readonly symbols?: readonly string[];
  readonly settings?: Partial<AlpacaSettings>;
  readonly source?: Partial<AlpacaSourceOptions>;
  readonly timings?: Partial<Timings>;
}

async function startRig({ symbols = ['AAPL', 'MSFT'], settings, source: more, timings, ...rest }: RigOptions = {}) {
  const fake = await startFakeAlpaca({ market: LIVELY, clock: manualClock(START), ...rest });
  const deliveries: Delivery[] = [];
  const bars: Bar[] = [];
  const states: FeedState[] = [];
  const rig = {
    fake,
    deliveries,
    bars,
    states,
    state: 'connecting' as FeedState,
    reason: undefined as string | undefined,
    clock: null as number | null,
    symbols,
    away: false,
    async live(...wanted: string[]) {
      const all = wanted.length > 0 ? wanted : rig.symbols;
      await waitFor(() => rig.state === 'live' && [...source.delivers!()].sort().join() === [...all].sort().join(), {
        what: `live with ${all}, not ${rig.state} with ${source.delivers!()} (${rig.reason})`,
        timeoutMs: 20_000,
      });
    },
    async minutes(count: number) {
      for (let n = 0; n < count; n++) {
        const from = Math.floor(fake.now() / MINUTE_MS) * MINUTE_MS;
        fake.advanceTo(from + MINUTE_MS + 31_000);
        const due = rig.expected(from).length;
        await waitFor(() => bars.filter(({ openTime }) => openTime >= from).length >= due, {
          what: `${due} bars of the minute`,
        });
      }
    },
    expected(fromMs: number) {
      const { market } = fake;
      const list: Bar[] = [];
      for (let at = fromMs; at + MINUTE_MS + 50 <= fake.now(); at += MINUTE_MS) {
        for (const symbol of rig.symbols) {
          const first = market.first(symbol, at);
          const updated = market.updated(symbol, at);
          if (first !== null) list.push(first);
          if (updated !== null && at + MINUTE_MS + 30_050 <= fake.now()) list.push(updated);
        }
      }
      return list;
    },
    async end() {
      stop.abort();
      rig.away = false;
      await reading;
      await fake.close();
    },
  };
  const source = createAlpacaSource({
    settings: {
      keyId: FAKE_KEY,
      secret: FAKE_SECRET,
      feed: 'iex',
      streamUrl: fake.streamUrl(),
      dataUrl: fake.origin,
      symbolsMax: 30,
      trades: true,
      ...settings,
    },
    calendar: loadCalendar('nyse'),
    symbols: () => rig.symbols,
    // The market's clock moves when it is told to, and deadlines pass all the time.
    time: { now: fake.now, elapsedMs: () => performance.now(), pause },
    logger: silentLogger,
    timings: { ...QUICK, ...timings },
    ...more,
  });
  const stop = new AbortController();
  const read = async () => {
    for await (const delivery of source.live(stop.signal)) {
      deliveries.push(delivery);
      bars.push(...delivery.bars);
      if (delivery.state !== undefined) {
        states.push(delivery.state);
        rig.state = delivery.state;
        rig.reason = delivery.reason;
      }
      rig.clock = delivery.clock;
      while (rig.away) await pause(5);
    }
  };
  const reading = read();
  return Object.assign(rig, { source }) as Rig;
}

/** The first minute whose bar comes after START. */
export const FIRST = MONDAY_OPEN;

/** That of the present test. */
export let rig: Rig;
afterEach(() => rig.end());

/** Starts the rig of the test, which ends with it. */
export async function started(options: RigOptions = {}): Promise<Rig> {
  rig = await startRig(options);
  return rig;
}

/** Faults of the first connections; all later ones are sound. */
export const faulty = (...faults: readonly ConnectionFault[]) => ({
  faults: { connections: (number: number) => faults[number - 1] },
});

export const byMinute = (bars: readonly Bar[]) =>
  [...bars].sort((a, b) => a.openTime - b.openTime || a.rev - b.rev || (a.symbol < b.symbol ? -1 : 1));

export const nameOf = ({ symbol, openTime, rev }: Bar) => `${symbol} ${openTime} ${rev}`;

/** It is live with all of its symbols, and every bar of the next minutes comes. */
export async function flows(): Promise<void> {
  await rig.live();
  const from = Math.floor(rig.fake.now() / MINUTE_MS) * MINUTE_MS;
  const before = rig.bars.length;
  await rig.minutes(3);
  // Updates of the minute before may come as well.
  const bars = rig.bars.slice(before).filter(({ openTime }) => openTime >= from);
  expect(byMinute(bars)).toEqual(byMinute(rig.expected(from)));
  expect(rig.fake.live).toHaveLength(1);
  const channels = { bars: [...rig.symbols].sort(), updatedBars: [...rig.symbols].sort() };
  // What is let go flows no more from the moment in which that is asked for: the server may hear of it later.
  await waitFor(() => rig.fake.live[0]!.subscribed.bars?.join() === channels.bars.join(), { what: 'no others' });
  expect(rig.fake.live[0]!.subscribed).toMatchObject(channels);
}

export const last = (): ConnectionRecord => rig.fake.connections.at(-1)!;
