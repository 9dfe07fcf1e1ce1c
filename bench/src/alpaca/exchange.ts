import { setTimeout as pause } from 'node:timers/promises';
import { MINUTE_MS, toIso } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import {
  type AlpacaMarket,
  BAR_DELAY_MS,
  createAlpacaMarket,
  type FakeAlpaca,
  manualClock,
  openMinutes,
  startFakeAlpaca,
} from '@candlewire/testkit';
import { serveCalls } from '../child';
import { nowMs } from '../fanout/clock';

const SLOT_MS = 1;
const SECOND_MS = 1_000;
const REQUESTS_PER_MIN = 1_000_000;

/** Every minute of the sessions has a bar, and nothing is corrected: as many bars as minutes. */
export function fullMarket(symbols: readonly string[]): AlpacaMarket {
  const chances = { quiet: 0, thin: 0, late: 0, corrected: 0 };
  return createAlpacaMarket({ symbols, calendar: loadCalendar('nyse'), chances });
}

/** The first `count` minutes of sessions from `fromMs` on. */
export function sessionMinutes(fromMs: number, count: number): number[] {
  const minutes: number[] = [];
  for (const minute of openMinutes(loadCalendar('nyse'), fromMs, Number.POSITIVE_INFINITY)) {
    if (minutes.push(minute) >= count) break;
  }
  return minutes;
}

export interface StreamStanding {
  /** Connections so far. */
  readonly opened: number;
  /** Those that are closed, whoever did. */
  readonly closed: number;
  /** Symbols whose bars the one that is live has subscribed. */
  readonly symbols: number;
}

/** What the process that plays Alpaca can be told. Its market stands still but for what it is told. */
export interface ExchangeCalls {
  /** Comes first. @returns addresses */
  start(order: {
    symbols: readonly string[];
    clockMs: number;
    slowClientBytes: number;
  }): Promise<{ dataUrl: string; streamUrl: string }>;
  standing(): Promise<StreamStanding>;
  /**
   * Bars of one symbol after the other, the next minute in each turn, each in a frame of its own, at a fixed rate. They are
   * numbered in the field for trades, from 1. @returns when each was sent, {@link nowMs}; the first place is empty
   */
  trickle(order: { symbols: readonly string[]; minutes: readonly number[]; perS: number }): Promise<Float64Array>;
  /** The bars of one minute: in full frames, as fast as they go. @returns when the first was sent, and the last */
  burstAtOnce(order: { minuteMs: number }): Promise<{ firstMs: number; lastMs: number }>;
  /** The same over one second, each in a frame of its own. */
  burstInASecond(order: { minuteMs: number }): Promise<{ firstMs: number; lastMs: number }>;
}

let fake: FakeAlpaca;

const calls: ExchangeCalls = {
  async start({ symbols, clockMs, slowClientBytes }) {
    fake = await startFakeAlpaca({
      market: fullMarket(symbols),
      clock: manualClock(clockMs),
      plan: { sip: true, symbolsMax: symbols.length, requestsPerMinute: REQUESTS_PER_MIN },
      slowClientBytes,
    });
    return { dataUrl: fake.origin, streamUrl: fake.streamUrl() };
  },

  async standing() {
    const closed = fake.connections.filter(({ closedAt }) => closedAt !== null).length;
    return { opened: fake.connections.length, closed, symbols: fake.live[0]?.subscribed.bars?.length ?? 0 };
  },

  async trickle({ symbols, minutes, perS }) {
    const total = symbols.length * minutes.length;
    const sentAt = new Float64Array(total + 1);
    await atRate(total, perS, (index) => {
      sentAt[index + 1] = nowMs();
      send(symbols[index % symbols.length]!, minutes[Math.floor(index / symbols.length)]!, index + 1);
    });
    return sentAt;
  },

  async burstAtOnce({ minuteMs }) {
    const firstMs = nowMs();
    fake.advanceTo(minuteMs + MINUTE_MS + BAR_DELAY_MS);
    return { firstMs, lastMs: nowMs() };
  },

  async burstInASecond({ minuteMs }) {
    const { symbols } = fake.market;
    const firstMs = nowMs();
    await atRate(symbols.length, symbols.length / (SECOND_MS / 1_000), (index) => send(symbols[index]!, minuteMs, 1));
    return { firstMs, lastMs: nowMs() };
  },
};

function send(symbol: string, minuteMs: number, n: number): void {
  const { open: o, high: h, low: l, close: c, volume: v, vwap: vw } = fake.market.first(symbol, minuteMs)!;
  fake.send({ T: 'b', S: symbol, o, h, l, c, v, t: toIso(minuteMs), n, vw: vw! });
}

/** Acts `total` times at a fixed rate, whether or not anybody keeps up. */
async function atRate(total: number, perS: number, act: (index: number) => void): Promise<void> {
  const begin = nowMs();
  for (let done = 0; done < total; ) {
    const due = Math.min(total, Math.floor(((nowMs() - begin) / 1_000) * perS) + 1);
    for (; done < due; done++) act(done);
    await pause(SLOT_MS);
  }
}

if (require.main === module) serveCalls({ ...calls });
