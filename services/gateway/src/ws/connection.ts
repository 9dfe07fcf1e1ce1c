import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { CLOSE_CODE, toIso } from '@candlewire/contracts';
import type { RawData, WebSocket } from 'ws';
import type { WsLimits } from './limits';
import { watchPongs } from './pongs';

/** Mistakes of a client that are answered; the next one ends the connection. */
const ERRORS_MAX = 20;
/** Whoever sends much waits until no more than this is left in the queue. */
const PACED_BYTES = 64 * 1024;
/** What the protocol allows for a close reason. */
const REASON_BYTES_MAX = 123;

/** Codes of `error` messages. */
export type WsErrorCode =
  | 'invalid_message'
  | 'invalid_parameter'
  | 'too_many_errors'
  | 'too_many_subscriptions'
  | 'too_slow'
  | 'rate_limited'
  | 'unsupported_data'
  | 'unavailable';

/** A mistake in a message, to be told to its sender; the connection stays. */
export class ClientError extends Error {
  constructor(
    readonly code: WsErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ClientError';
  }
}

/** One client: what is sent to it is bounded, and so is what it may send. */
export interface Connection {
  /** Aborted when nothing can be sent any more. */
  readonly ended: AbortSignal;
  /** Sends a text message. A client whose queue is over the hard limit is closed instead, as too slow. Hot. */
  send(text: string | Buffer): void;
  /** Resolves when the queue is short enough to go on with much to send, or the connection has ended. */
  drained(): Promise<void>;
  /** Tells the client of a mistake; the connection stays, until there were too many of them. */
  sendError(error: ClientError, id?: unknown): void;
  /** Tells the client why, and closes. */
  refuse(closeCode: number, code: WsErrorCode, message: string): void;
  /** Sends the client away: it may come back after so long. */
  leave(reconnectAfterMs: number): void;
  terminate(): void;
}

/** @param serve begins to serve the client; what it returns is called with each text message within the limits */
export function createConnection(
  ws: WebSocket,
  socket: Duplex,
  limits: WsLimits,
  serve: (connection: Connection) => (text: string) => void,
): Connection {
  const end = new AbortController();
  const { signal: ended } = end;
  const takeInbound = tokenBucket(limits.inboundPerS, limits.inboundBurst);
  let errors = 0;
  let bytesSent = 0;
  const heartbeat = setTimeout(() => {
    send(`{"type":"heartbeat","timestamp":"${toIso(Date.now())}"}`);
  }, limits.heartbeatMs);

  function write(text: string | Buffer): void {
    bytesSent += text.length;
    ws.send(text, { binary: false });
    heartbeat.refresh();
  }

  function send(text: string | Buffer): void {
    if (ended.aborted || ws.readyState !== ws.OPEN) return;
    // What is over the limit is what was there before: nobody is closed for the size of one message.
    if (ws.bufferedAmount > limits.queueHardBytes) {
      refuse(CLOSE_CODE.tooSlow, 'too_slow', `more than ${limits.queueHardBytes} bytes are waiting to be read`);
    } else write(text);
  }

  function writeError(code: WsErrorCode, message: string, id?: unknown): void {
    write(JSON.stringify({ type: 'error', id, code, message }));
  }

  function close(code: number, reason: string): void {
    finish();
    ws.close(code, Buffer.from(reason).subarray(0, REASON_BYTES_MAX).toString('latin1'));
  }

  function refuse(closeCode: number, code: WsErrorCode, message: string): void {
    if (ended.aborted) return;
    writeError(code, message);
    close(closeCode, message);
  }

  function finish(): void {
    clearTimeout(heartbeat);
    clearInterval(pinging);
    end.abort();
  }

  function isWithinRate(): boolean {
    if (takeInbound()) return true;
    refuse(CLOSE_CODE.rateLimited, 'rate_limited', `more than ${limits.inboundPerS} messages a second`);
    return false;
  }

  const watch = watchPongs(() => ({ queuedBytes: ws.bufferedAmount, flushedBytes: bytesSent - ws.bufferedAmount }));
  const pinging = setInterval(() => {
    if (watch.isGone()) ws.terminate();
    else ws.ping();
  }, limits.pingMs);

  ws.on('message', (data: RawData, isBinary: boolean) => {
    watch.heard();
    if (ended.aborted || !isWithinRate()) return;
    if (isBinary) refuse(CLOSE_CODE.unsupportedData, 'unsupported_data', 'messages must be text');
    // One Buffer, since ws is told of no other type.
    else receive((data as Buffer).toString());
  });
  ws.on('ping', () => void (ended.aborted || isWithinRate()));
  ws.on('pong', () => watch.heard());
  // Frames that break the protocol, or are too long: ws answers with the code for it and closes.
  ws.on('error', finish);
  ws.on('close', finish);

  const connection: Connection = {
    ended,
    send,
    async drained() {
      if (ws.bufferedAmount <= PACED_BYTES || ended.aborted) return;
      // The end of the connection is no failure of waiting for it.
      await once(socket, 'drain', { signal: ended }).catch(() => {});
    },
    sendError({ code, message }, id) {
      if (ended.aborted) return;
      if (++errors > ERRORS_MAX) refuse(CLOSE_CODE.policy, 'too_many_errors', `more than ${ERRORS_MAX} errors`);
      else writeError(code, message, id);
    },
    refuse,
    leave(reconnectAfterMs) {
      if (ended.aborted) return;
      write(`{"type":"shutdown","reconnect_after_ms":${reconnectAfterMs}}`);
      close(CLOSE_CODE.restart, 'restart');
    },
    terminate: () => ws.terminate(),
  };
  const receive = serve(connection);
  return connection;
}

/** Gives `burst` at once and `perS` a second. */
function tokenBucket(perS: number, burst: number): () => boolean {
  let tokens = burst;
  let at = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - at) / 1_000) * perS);
    at = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}
