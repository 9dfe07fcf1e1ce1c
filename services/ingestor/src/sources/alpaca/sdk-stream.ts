import { streaming } from '@alpacahq/alpaca-trade-api';
import { WebSocket } from 'ws';
import type { Acknowledged, Request } from './subscriptions';
import type { Timings } from './timings';

/** A frame holds a few thousand messages at most; more than this is none of Alpaca's. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
/** How the SDK begins to tell of a frame that it could not read; the connection goes on. */
const UNREADABLE = /^failed to (?:decode|process) message: /;

export type StreamBar = streaming.StreamBar;
export type StreamTrade = streaming.StreamTrade;

/** What a connection tells. None of these may throw; `bar` and `trade` are hot. */
export interface StreamHandlers {
  authenticated(): void;
  acknowledged(by: Acknowledged): void;
  error(text: string): void;
  /** A frame was lost. */
  unreadable(): void;
  bar(bar: StreamBar, rev: 0 | 1): void;
  trade(trade: StreamTrade): void;
  /** Once, at the end, when the socket is closed. */
  closed(): void;
}

export interface StreamOptions {
  readonly url: string;
  readonly keyId: string;
  readonly secret: string;
  readonly timings: Pick<Timings, 'handshakeMs' | 'pingMs' | 'pongMs' | 'closeMs'>;
}

/** One connection, from its opening to its end; for another one there is another. */
export interface StreamConnection {
  ask(request: Request): void;
  /** Ends it; `closed` is told soon, however the other side behaves. */
  close(): void;
}

export type OpenStream = (options: StreamOptions, handlers: StreamHandlers) => StreamConnection;

/** The SDK's stream keeps a set of its own, and sends a message for each channel of it. Ours decides, and asks in one message. */
class Stream extends streaming.StockDataStream {
  ask({ action, channels, symbols }: Request): void {
    this.send({ action, ...Object.fromEntries(channels.map((channel) => [channel, symbols])) });
  }
}

/**
 * A connection through the SDK, which speaks the protocol and nothing more here: it gives up, or stops for good, where an
 * ingestor must go on, and after a refusal its set holds what was refused. So it never reconnects by itself, and each
 * connection has a stream of its own.
 */
export const openStream: OpenStream = ({ url, keyId, secret, timings }, handlers) => {
  let socket: WebSocket | null = null;
  let isEnding = false;
  let isOver = false;

  function over(): void {
    if (isOver) return;
    isOver = true;
    stream.removeAllListeners();
    handlers.closed();
  }

  function end(): void {
    if (isOver || isEnding) return;
    isEnding = true;
    if (socket === null || socket.readyState === WebSocket.CLOSED) {
      over();
      return;
    }
    // The other side may be gone without a word: nobody waits for its half of the handshake.
    const cut = setTimeout(() => socket?.terminate(), timings.closeMs);
    socket.once('close', () => {
      clearTimeout(cut);
      over();
    });
    stream.disconnect();
  }

  const stream = new Stream({
    url,
    credentials: { keyId, secret },
    reconnect: false,
    pingIntervalMs: timings.pingMs,
    pongWaitMs: timings.pongMs,
    wsFactory: (address) => {
      socket = new WebSocket(address, {
        perMessageDeflate: false,
        handshakeTimeout: timings.handshakeMs,
        maxPayload: FRAME_BYTES_MAX,
        headers: { 'Content-Type': 'application/msgpack' },
      });
      return socket as unknown as streaming.WebSocketLike;
    },
  });
  stream.on(streaming.EVENT.AUTHORIZED, () => handlers.authenticated());
  stream.on(streaming.EVENT.SUBSCRIPTION, (by: Acknowledged) => handlers.acknowledged(by));
  stream.on(streaming.EVENT.CLIENT_ERROR, (text: string) => {
    if (UNREADABLE.test(text)) handlers.unreadable();
    else handlers.error(text);
  });
  stream.on(streaming.EVENT.BAR, (bar: StreamBar) => handlers.bar(bar, 0));
  stream.on(streaming.EVENT.UPDATED_BAR, (bar: StreamBar) => handlers.bar(bar, 1));
  stream.on(streaming.EVENT.TRADE, (trade: StreamTrade) => handlers.trade(trade));
  // The SDK ends connections too, where the key is refused; it does not wait for the socket then.
  stream.on(streaming.STATE.DISCONNECTED, () => end());
  stream.connect();
  return { ask: (request) => stream.ask(request), close: end };
};
