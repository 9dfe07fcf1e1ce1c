import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '@candlewire/testkit';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Candle, CandleEvent, Interval, SnapshotEvent } from './types.ts';

type Message = Readonly<Record<string, unknown>>;

/** One connection of a client, as the server sees it. */
export class Peer {
  readonly received: Message[] = [];
  isClosed = false;
  private taken = 0;

  constructor(
    readonly url: string,
    readonly socket: WebSocket,
  ) {
    socket.on('message', (data) => this.received.push(JSON.parse(String(data))));
    socket.on('close', () => (this.isClosed = true));
  }

  /** The next message that the client sends. */
  async next(): Promise<Message> {
    await waitFor(() => this.received.length > this.taken, { what: 'the client says something' });
    return this.received[this.taken++]!;
  }

  send(...messages: readonly object[]): void {
    for (const message of messages) this.socket.send(JSON.stringify(message));
  }

  /** Acknowledges the next subscription or unsubscription, which it gives. */
  async acknowledge(): Promise<Message> {
    const { type, id, channel, symbols, intervals } = await this.next();
    this.send({ type: `${type}d`, id, channel, symbols, intervals });
    return this.received[this.taken - 1]!;
  }
}

/** A gateway whose every word the test says. */
export class ScriptedServer {
  readonly peers: Peer[] = [];
  readonly requests: string[] = [];
  /** Answers HTTP. */
  answer: (req: IncomingMessage, res: ServerResponse, body: string) => void = (_req, res) => res.writeHead(404).end();
  private readonly http: Server;
  private readonly ws: WebSocketServer;
  private taken = 0;

  private constructor() {
    this.http = createServer((req, res) => {
      this.requests.push(`${req.method} ${req.url}`);
      let body = '';
      req.setEncoding('utf8').on('data', (text: string) => (body += text));
      req.on('end', () => this.answer(req, res, body));
    });
    this.ws = new WebSocketServer({ server: this.http });
    this.ws.on('connection', (socket, req) => this.peers.push(new Peer(req.url!, socket)));
  }

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await new Promise<void>((resolve) => server.http.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  /** The next connection. */
  async peer(): Promise<Peer> {
    await waitFor(() => this.peers.length > this.taken, { what: 'the client connects' });
    return this.peers[this.taken++]!;
  }

  async stop(): Promise<void> {
    for (const { socket } of this.peers) socket.terminate();
    this.ws.close();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

/** A candle of the minute `minute` after 14:30, changed as number `seq`. */
export function candle(minute: number, seq: number, close = 100): Candle {
  return {
    timestamp: `2025-11-03T14:${30 + minute}:00Z`,
    open: 100,
    high: 101,
    low: 99,
    close,
    volume: 10,
    vwap: null,
    trade_count: null,
    market_status: 'regular',
    ATR: null,
    RSI: null,
    MA40: null,
    MA80: null,
    MA160: null,
    final: false,
    revision: 1,
    seq,
  };
}

export const EPOCH = 'e1';

export function snapshot(candles: readonly Candle[], seq: number, epoch = EPOCH, symbol = 'AAPL'): SnapshotEvent {
  return { type: 'snapshot', symbol, interval: '5m', epoch, seq, candles };
}

export function change(row: Candle, epoch = EPOCH, symbol = 'AAPL', interval: Interval = '5m'): CandleEvent {
  return { type: 'candle', symbol, interval, epoch, seq: row.seq, candle: row };
}
