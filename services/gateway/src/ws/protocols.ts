import type { Duplex } from 'node:stream';
import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { WebSocket } from 'ws';
import type { Reads } from '../bound-store';
import type { FeedWatch } from '../health/feed-watch';
import { LiveCounters } from '../live/counters';
import { createLive } from '../live/live';
import { type CandleRequest, serveCandles } from './candle-protocol';
import { Connection, type ConnectionDeps } from './connection';
import { createDemandLeases } from './demand-leases';
import { serveFully } from './full-protocol';
import { createKnownSymbols } from './known-symbols';
import { createLeftOut } from './left-out';
import type { WsLimits } from './limits';
import { Pulse } from './pulse';

/** Connections are looked at so often, or more often where a limit is shorter. */
const BEAT_MS = 1_000;

export interface ProtocolsDeps {
  readonly bus: Pick<Bus, 'subscribe' | 'relay' | 'onReconnect' | 'demand'>;
  readonly store: Reads;
  readonly channels: Channels;
  readonly feed: Pick<FeedWatch, 'onStatus'>;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
  readonly limits: WsLimits;
  readonly logger: Logger;
  readonly onFailure: (err: unknown) => void;
}

/** What clients can be served with, and what all of them share. */
export interface Protocols {
  readonly counters: LiveCounters;
  connect(ws: WebSocket, socket: Duplex): Connection;
  /** `/ws` */
  serveFully(connection: Connection): (text: string) => void;
  /** `/ws/candles/{symbol}` */
  serveCandles(request: CandleRequest, connection: Connection): (text: string) => void;
  /** Lets go of the bus. */
  close(): void;
}

export function createProtocols(deps: ProtocolsDeps): Protocols {
  const { bus, store, channels, feed, now, limits, logger, onFailure } = deps;
  const counters = new LiveCounters();
  const live = createLive({ bus, store, channels, counters, flushMs: limits.flushMs, logger });
  const leases = createDemandLeases({ bus, store, channel: channels.symbols, logger });
  const known = createKnownSymbols({ store, bus, channel: channels.symbols, logger });
  const leftOut = createLeftOut(feed, now);
  const pulse = new Pulse(Math.min(BEAT_MS, limits.stallMs / 20, limits.pingMs / 4, limits.heartbeatMs / 4));
  const connectionDeps: ConnectionDeps = { limits, flusher: live.flusher, pulse, counters, onFailure };
  const { subscriptionsMax } = limits;
  const fullDeps = { live, leases, known, leftOut, counters, subscriptionsMax, onFailure };
  const candleDeps = { live, leases, counters, onFailure };
  return {
    counters,
    connect: (ws, socket) => new Connection(ws, socket, connectionDeps),
    serveFully: (connection) => serveFully(fullDeps, connection),
    serveCandles: (request, connection) => serveCandles(candleDeps, request, connection),
    close() {
      known.close();
      leases.close();
      live.close();
    },
  };
}
