import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Logger, pause } from '@candlewire/runtime';
import { type ServerOptions, WebSocketServer } from 'ws';
import type { Reads } from '../bound-store';
import type { CorsOrigins } from '../config';
import { type CandleProtocolDeps, serveCandles } from './candle-protocol';
import { type Connection, createConnection } from './connection';
import { createDemandLeases } from './demand-leases';
import { createHub } from './hub';
import { createKnownSymbols } from './known-symbols';
import type { WsLimits } from './limits';
import { PriceProtocol, type PriceProtocolDeps } from './price-protocol';
import { answerWithoutUpgrade, type Refusal, refuseUpgrade } from './upgrade';

/** A client has so long to answer a close. */
const CLOSE_MS = 5_000;
/** Control messages are small: nobody has a reason to cut them up. */
const FRAGMENTS_MAX = 16;
const CHUNKS_MAX = 1_024;
/** Some of them are younger than ws's types. */
const OPTIONS: ServerOptions & { maxFragments: number; maxBufferedChunks: number; closeTimeout: number } = {
  noServer: true,
  clientTracking: false,
  // It costs fifteen times the memory and five times the CPU.
  perMessageDeflate: false,
  maxFragments: FRAGMENTS_MAX,
  maxBufferedChunks: CHUNKS_MAX,
  closeTimeout: CLOSE_MS,
};
/** At shutdown clients are sent away over this time, or quicker where there are few. */
const LEAVE_MS_MAX = 3_000;
const LEAVES_PER_MS = 1;
/** So that not all of them come back in the same moment. */
const RECONNECT_MS = { min: 500, max: 5_000 };
/** Characters of a message that the log repeats. */
const LOGGED_MAX = 200;

export interface WsServerDeps {
  readonly bus: Pick<Bus, 'subscribe' | 'onReconnect' | 'demand'>;
  readonly store: Reads;
  readonly channels: Channels;
  readonly corsOrigins: CorsOrigins;
  readonly limits: WsLimits;
  readonly logger: Logger;
}

export interface WsServer {
  /** Takes the upgrades of `node`. */
  attach(node: Server): void;
  /** Takes no more clients, and sends away those that there are: each is told when to come back. Resolves when all are gone. */
  leave(): Promise<void>;
  /** Ends what is still open, and lets go of the bus. */
  close(): void;
}

/** Serves a client; what it returns hears the client's messages. */
type Serve = (connection: Connection) => (text: string) => void;

export function createWsServer({ bus, store, channels, corsOrigins, limits, logger }: WsServerDeps): WsServer {
  const hub = createHub(bus, logger);
  const leases = createDemandLeases({ bus, hub, store, channel: channels.symbols, logger });
  const known = createKnownSymbols({ store, hub, channel: channels.symbols, logger });
  const logFailure = boundedLog(logger, 'websocket failed');
  const logRefused = boundedLog(logger, 'candle message refused');
  const onFailure = (err: unknown): void => logFailure({ err });
  const onRefused = (text: string): void => logRefused({ text: text.slice(0, LOGGED_MAX) });
  const priceDeps: PriceProtocolDeps = { hub, store, channels, leases, known, onFailure, ...limits };
  const candleDeps: CandleProtocolDeps = { hub, store, channels, leases, onRefused, onFailure };
  const connections = new Set<Connection>();
  const wss = new WebSocketServer({ ...OPTIONS, maxPayload: limits.messageBytesMax });
  let leaving = false;
  let whenEmpty: () => void = () => {};

  wss.on('wsClientError', (err, socket) => {
    const message = `upgrade: is no WebSocket handshake of version 13 (${err.message})`;
    const headers = { 'Sec-WebSocket-Version': 13 };
    refuseUpgrade(socket, { status: 400, code: 'invalid_parameter', message, headers });
  });

  /** What is at this address, null where nothing is. */
  function protocolAt(url: string): Serve | null {
    const { pathname, searchParams } = new URL(url, 'http://gateway');
    if (pathname === '/ws') return (connection) => new PriceProtocol(priceDeps, connection).receive;
    const symbol = /^\/ws\/candles\/([^/]*)$/.exec(pathname)?.[1];
    if (symbol === undefined) return null;
    return (connection) => serveCandles(candleDeps, { symbol: decoded(symbol), query: searchParams }, connection);
  }

  function isAllowed(origin: string | undefined): boolean {
    // Only browsers send an origin, and only against them does it protect.
    return corsOrigins === '*' || origin === undefined || corsOrigins.includes(origin);
  }

  function accept(req: IncomingMessage, socket: Duplex, head: Buffer, serve: Serve): void {
    wss.handleUpgrade(req, socket, head, (ws) => {
      const connection = createConnection(ws, socket, limits, (opened) => guarded(opened, serve));
      connections.add(connection);
      ws.once('close', () => {
        connections.delete(connection);
        if (connections.size === 0) whenEmpty();
      });
    });
  }

  /** A bug of ours that one client's message hits is that client's alone. */
  function guarded(connection: Connection, serve: Serve): (text: string) => void {
    const fail = (err: unknown): void => {
      logger.error('websocket handler failed', { err });
      connection.terminate();
    };
    try {
      const receive = serve(connection);
      return (text) => {
        try {
          receive(text);
        } catch (err) {
          fail(err);
        }
      };
    } catch (err) {
      fail(err);
      return () => {};
    }
  }

  function upgrade(node: Server, req: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (req.headers.upgrade?.toLowerCase() !== 'websocket') {
      answerWithoutUpgrade(node, req, socket, head);
      return;
    }
    // Until ws has the socket its errors would end the process.
    socket.on('error', () => socket.destroy());
    const serve = protocolAt(req.url ?? '/');
    const refusal = refusalOf(req.headers.origin, serve);
    if (refusal !== null) refuseUpgrade(socket, refusal);
    else if (serve !== null) accept(req, socket, head, serve);
  }

  function refusalOf(origin: string | undefined, serve: Serve | null): Refusal | null {
    if (serve === null) return { status: 404, code: 'not_found', message: 'there is nothing at this path' };
    if (!isAllowed(origin)) return { status: 403, code: 'forbidden', message: 'this origin is not allowed' };
    if (!leaving && connections.size < limits.connectionsMax) return null;
    const message = leaving ? 'this gateway is going down' : 'too many connections; try again later';
    return { status: 503, code: 'unavailable', message, headers: { 'Retry-After': 1 } };
  }

  async function sendAway(): Promise<void> {
    const leavers = [...connections];
    const overMs = Math.min(LEAVE_MS_MAX, leavers.length / LEAVES_PER_MS);
    const begin = performance.now();
    for (const [i, connection] of leavers.entries()) {
      const waitMs = begin + (i / leavers.length) * overMs - performance.now();
      if (waitMs > 1) await pause(waitMs);
      connection.leave(Math.round(RECONNECT_MS.min + Math.random() * (RECONNECT_MS.max - RECONNECT_MS.min)));
    }
  }

  return {
    attach(node) {
      node.on('upgrade', (req, socket, head) => upgrade(node, req, socket, head));
    },
    async leave() {
      leaving = true;
      await sendAway();
      if (connections.size > 0) {
        await new Promise<void>((resolve) => {
          whenEmpty = resolve;
        });
      }
    },
    close() {
      for (const connection of connections) connection.terminate();
      known.close();
      leases.close();
      hub.close();
    },
  };
}

/** What cannot be decoded is no symbol either, as it stands. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
