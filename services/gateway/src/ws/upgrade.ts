import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '@candlewire/contracts';

/** Headers that ask for another protocol, or belong to asking. */
const HOP_HEADERS = /^(connection|upgrade|http2-settings)$/i;

/** Why there is no WebSocket: an answer like any other over HTTP. */
export interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string | number>>;
}

/** Answers an upgrade with an error and ends the connection. */
export function refuseUpgrade(socket: Duplex, { status, code, message, headers = {} }: Refusal): void {
  const body = JSON.stringify({ error: { code, message } });
  const lines = Object.entries({
    Connection: 'close',
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
}

/**
 * Node gives up HTTP on a connection that asks for any other protocol at all; but who merely offers HTTP/2, as Java's
 * client does with every request, means to be answered in HTTP/1.1 where that is not to be had. The request goes through
 * the server once more, without the offer.
 */
export function answerWithoutUpgrade(node: Server, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`];
  for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
    if (!HOP_HEADERS.test(req.rawHeaders[i]!)) lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}\r\n`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('')}\r\n`, 'latin1'), head]));
  node.emit('connection', socket);
}
