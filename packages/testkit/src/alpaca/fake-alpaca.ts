import type { DataMessage } from '@candlewire/alpaca';
import type { Clock, ManualClock } from './clock';
import type { FaultScript } from './faults';
import type { AlpacaMarket } from './market';
import type { ConnectionRecord, RequestRecord } from './records';

export interface FakeAlpacaOptions {
  /** Default: `createAlpacaMarket()`. */
  readonly market?: AlpacaMarket;
  /** The market's time: {@link manualClock}, {@link scaledClock} or {@link wallClock}. */
  readonly clock: Clock | ManualClock;
  /** How often a clock that runs by itself is looked at, default 5 ms. A manual one moves with `advanceTo` alone. */
  readonly pollMs?: number;
  /** Key to secret. Default `{ [FAKE_KEY]: FAKE_SECRET }`. */
  readonly keys?: Readonly<Record<string, string>>;
  readonly plan?: Partial<Plan>;
  readonly faults?: FaultScript;
  /** Default 10,000. */
  readonly authTimeoutMs?: number;
  /** So long a connection that was lost without a close frame occupies its slot, in wall time. Default 0. */
  readonly ghostMs?: number;
  /** What follows 406: the socket stays open until the auth timeout (as it seems to be at Alpaca's), or is closed. Default keep_open. */
  readonly overLimit?: 'keep_open' | 'close';
  /** Between an error that ends a connection and the close frame. Default 20. */
  readonly closeDelayMs?: number;
  /** A client with more than this unsent gets 407 and is cut. Default 64 MiB. */
  readonly slowClientBytes?: number;
  /** Default: any free one. */
  readonly port?: number;
}

/** What an account may do. Defaults are those of the free plan, but for the rate of requests. */
export interface Plan {
  /** Real-time SIP: the feed `/v2/sip` and history of the last 15 minutes. Default false. */
  readonly sip: boolean;
  /** On a stream, default 30. */
  readonly symbolsMax: number;
  /** Per key and feed, default 1. */
  readonly connectionsMax: number;
  /** Default 10,000; beyond it 429. */
  readonly requestsPerMinute: number;
}

export const FAKE_KEY = 'FAKEKEY';
export const FAKE_SECRET = 'fakesecret';

/** A running server: streams, market data and trading API on one port. */
export interface FakeAlpaca {
  readonly market: AlpacaMarket;
  /** `http://127.0.0.1:PORT`: the data and the trading host. */
  readonly origin: string;
  /** `ws://127.0.0.1:PORT/v2/iex`; feeds iex, sip, delayed_sip, test. */
  streamUrl(feed?: string): string;
  /** The market's time. */
  now(): number;
  /**
   * Moves a manual clock and sends what became due up to and with `ms`, all of it before this returns.
   * @throws TypeError where the clock runs by itself
   */
  advanceTo(ms: number): void;
  /** Every connection so far, the open ones included. */
  readonly connections: readonly ConnectionRecord[];
  readonly requests: readonly RequestRecord[];
  /** Connections that are authenticated now. */
  readonly live: readonly ConnectionRecord[];
  /** From now on; connections that are open keep theirs. */
  setFaults(faults: FaultScript): void;
  /** Ends all open connections: with a close frame, or without. */
  drop(how: 'close' | 'terminate'): void;
  /** A message of any content to everyone who subscribed its channel and symbol. */
  send(message: DataMessage): void;
  /** Frees the slots that lost connections still occupy. */
  releaseGhosts(): void;
  close(): Promise<void>;
}
