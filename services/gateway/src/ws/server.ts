import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Logger, pause } from '@candlewire/runtime';
import { type ServerOptions, WebSocketServer } from 'ws';
import type { ApiKeys } from '../admission/api-keys';
import { authenticateFirst, type Serve } from '../admission/authenticate-first';
import { createUpgradeGate, type Guest } from '../admission/upgrade-gate';
import type { Reads } from '../bound-store';
import type { CorsOrigins } from '../config';
import type { FeedWatch } from '../health/feed-watch';
import type { LiveCounters } from '../live/counters';
import type { Connection } from './connection';
import type { WsLimits } from './limits';
import { createProtocols } from './protocols';
import { answerWithoutUpgrade, refuseUpgrade } from './upgrade';

/** A client has so long to answer a close. */
const CLOSE_MS = 5_000;
/** A message that is too long by no more than this factor is taken, so that its sender can be told why it is refused. */
const EXPLAINED_FACTOR = 4;
/** Control messages are small: nobody has a reason to cut them up. */
const FRAGMENTS_MAX = 16;
const CHUNKS_MAX = 1_024;
/** Some of them are younger than ws's types. */
const OPTIONS: ServerOptions & { maxFragments: number; maxBufferedChunks: number; closeTimeout: number } = {
  noServer: true,
  clientTracking: false,
  // Pongs go the way of everything that is sent.
  autoPong: false,
  // It costs fifteen times the memory and five times the CPU.
  perMessageDeflate: false,
  maxFragments: FRAGMENTS_MAX,
  maxBufferedChunks: CHUNKS_MAX,
  closeTimeout: CLOSE_MS,
};
/** At shutdown no more clients than this are sent away in a second, unless there are so many that it would take too long. */
const LEAVES_PER_S = 200;
/** So that not all of them come back in the same moment. */
const RECONNECT_MS = { min: 500, max: 5_000 };
/** Addresses of requests are relative. */
const BASE = 'http://gateway';

export interface WsServerDeps {
  readonly bus: Pick<Bus, 'subscribe' | 'relay' | 'onReconnect' | 'demand'>;
  readonly store: Reads;
  readonly channels: Channels;
  readonly feed: Pick<FeedWatch, 'onStatus'>;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
  readonly corsOrigins: CorsOrigins;
  readonly apiKeys: ApiKeys;
  /** Where a request comes from, in the form by which callers are counted. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly limits: WsLimits;
  readonly logger: Logger;
}

export interface WsServer {
  /** Takes the upgrades of `node`. */
  attach(node: Server): void;
  /** Clients that there are now. */
  readonly size: number;
  readonly counters: LiveCounters;
  /** Takes no more clients from now on; those that there are stay. */
  refuseNew(): void;
  /** Sends all clients away: each is told when to come back. Resolves when they are gone. */
  leave(): Promise<void>;
  /** Ends what is still open, and lets go of the bus. */
  close(): void;
}

export function createWsServer(deps: WsServerDeps): WsServer {
  const { apiKeys, limits, logger } = deps;
  const gate = createUpgradeGate({ ...deps, ...limits });
  const logFailure = boundedLog(logger, 'websocket failed');
  const onFailure = (err: unknown): void => logFailure({ err });
  const protocols = createProtocols({ ...deps, onFailure });
  const connections = new Set<Connection>();
  const wss = new WebSocketServer({ ...OPTIONS, maxPayload: EXPLAINED_FACTOR * limits.messageBytesMax });
  let whenEmpty: () => void = () => {};

  wss.on('wsClientError', (err, socket) => {
    const message = `upgrade: is no WebSocket handshake of version 13 (${err.message})`;
    const headers = { 'Sec-WebSocket-Version': 13 };
    refuseUpgrade(socket, { status: 400, code: 'invalid_parameter', message, headers });
  });

  /** What is at this address, null where nothing is. */
  function protocolAt({ pathname, searchParams }: URL): Serve | null {
    if (pathname === '/ws') return protocols.serveFully;
    const symbol = /^\/ws\/candles\/([^/]*)$/.exec(pathname)?.[1];
    if (symbol === undefined) return null;
    const request = { symbol: decoded(symbol), query: searchParams };
    return (connection) => protocols.serveCandles(request, connection);
  }

  function accept(req: IncomingMessage, socket: Duplex, head: Buffer, serve: Serve, guest: Guest): void {
    wss.handleUpgrade(req, socket, head, (ws) => {
      const exit = gate.enter(guest);
      const { address: ip, origin } = guest;
      const admitted = authenticateFirst({ apiKeys, ...limits }, guest.hasKey, serve);
      const connection = protocols.connect(ws, socket);
      connections.add(connection);
      connection.open((opened) => guarded(opened, admitted));
      logger.debug('websocket opened', { ip, origin });
      ws.once('close', (code) => {
        exit();
        logger.debug('websocket closed', { ip, origin, code });
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
    const url = URL.canParse(req.url ?? '/', BASE) ? new URL(req.url ?? '/', BASE) : null;
    const serve = url === null ? null : protocolAt(url);
    if (url === null || serve === null) {
      refuseUpgrade(socket, { status: 404, code: 'not_found', message: 'there is nothing at this path' });
      return;
    }
    const judged = gate.judge(req, url.searchParams);
    if ('refusal' in judged) {
      protocols.counters.refuse(judged.refusal.code);
      refuseUpgrade(socket, judged.refusal);
    } else accept(req, socket, head, serve, judged.guest);
  }

  async function sendAway(): Promise<void> {
    const leavers = [...connections];
    const overMs = Math.min(limits.drainMs, (leavers.length / LEAVES_PER_S) * 1_000);
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
    get size() {
      return connections.size;
    },
    counters: protocols.counters,
    refuseNew: () => gate.close(),
    async leave() {
      gate.close();
      await sendAway();
      if (connections.size > 0) {
        await new Promise<void>((resolve) => {
          whenEmpty = resolve;
        });
      }
    },
    close() {
      for (const connection of connections) connection.terminate();
      protocols.close();
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
