import type { Duplex } from 'node:stream';
import { CLOSE_CODE, toIso } from '@candlewire/contracts';
import type { RawData, WebSocket } from 'ws';
import { type LiveClient, Work } from '../live/client';
import type { LiveCounters } from '../live/counters';
import type { Flusher } from '../live/flusher';
import { controlFrameOf, frameOf } from '../live/frame';
import { Outbox } from '../live/outbox';
import { Allowance } from './allowance';
import type { WsLimits } from './limits';
import { PongWatch } from './pongs';
import type { Beating, Pulse } from './pulse';

/** Mistakes of a client that are answered; the next one ends the connection. */
const ERRORS_MAX = 20;
/** So long each of them counts, after those before it: a client may live for months, and err now and then. */
const ERROR_MS = 60_000;
/** Whoever is told much is told more when no more than this waits. */
const PACED_BYTES = 64 * 1024;
/** A client that is sent away has so long to read what was sent before. It costs no more than a socket by then. */
const GOODBYE_MS = 5_000;
const PING = controlFrameOf('ping', Buffer.alloc(0));
/** What the protocol allows for a close reason. */
const REASON_BYTES_MAX = 123;

/** Codes of `error` messages. */
export type WsErrorCode =
  | 'invalid_message'
  | 'invalid_parameter'
  | 'payload_too_large'
  | 'too_many_errors'
  | 'too_many_subscriptions'
  | 'too_slow'
  | 'rate_limited'
  | 'unauthorized'
  | 'unsupported_data'
  | 'unavailable';

/** What is wrong with a message, or keeps it from being carried out (`unavailable`), to be told to its sender; the connection stays. */
export class ClientError extends Error {
  constructor(
    readonly code: WsErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ClientError';
  }
}

/** What all connections of a gateway share. */
export interface ConnectionDeps {
  readonly limits: WsLimits;
  readonly flusher: Flusher;
  readonly pulse: Pulse;
  readonly counters: LiveCounters;
  /** For what fails and is nobody's mistake. */
  readonly onFailure: (err: unknown) => void;
}

/**
 * One client: what is sent to it is bounded, and so is what it may send. Small, since there are tens of thousands: what
 * has to happen from time to time is one timer's for all.
 */
export class Connection implements LiveClient, Beating {
  readonly outbox: Outbox;
  readonly work: Work;
  private readonly endings: (() => void)[] = [];
  /** Nothing can be sent any more. */
  hasEnded = false;
  private readonly pongs = new PongWatch();
  private receive: (text: string) => void = () => {};
  private readonly mistakes: Allowance;
  private readonly inbound: Allowance;
  private pingAt: number;

  /** @param socket the one under `ws`, to which frames are written; `ws` does the rest of the protocol */
  constructor(
    private readonly ws: WebSocket,
    socket: Duplex,
    private readonly deps: ConnectionDeps,
  ) {
    const { limits, flusher, counters, pulse } = deps;
    this.outbox = new Outbox(socket, flusher, counters);
    const pacedBytes = Math.min(PACED_BYTES, limits.queueSoftBytes / 2);
    this.work = new Work(this.outbox, pacedBytes, (err) => this.fail(err));
    const now = performance.now();
    this.mistakes = new Allowance(ERRORS_MAX, 1 / ERROR_MS, now);
    this.inbound = new Allowance(limits.inboundBurst, limits.inboundPerS / 1_000, now);
    // Clients that came together are not pinged together.
    this.pingAt = now + limits.pingMs * (0.5 + Math.random() / 2);
    counters.connections++;
    pulse.add(this);
    ws.on('message', (data: RawData, isBinary: boolean) => this.hear(data, isBinary));
    ws.on('ping', (payload: Buffer) => {
      if (!this.hasEnded && this.isWithinRate()) this.outbox.append(controlFrameOf('pong', payload), 0);
    });
    ws.on('pong', (payload: Buffer) => {
      this.pongs.heard();
      this.outbox.ponged(payload);
    });
    // Frames that break the protocol, or are far too long: ws answers with the code for it and closes.
    ws.on('error', () => this.finish());
    ws.on('close', () => {
      this.finish();
      this.outbox.close();
    });
  }

  /** Calls `act` when nothing can be sent any more. */
  onEnd(act: () => void): void {
    this.endings.push(act);
  }

  /** @param serve begins to serve the client; what it returns is called with each text message within the limits */
  open(serve: (connection: Connection) => (text: string) => void): void {
    this.receive = serve(this);
  }

  /** Sends a text message. A client whose queue is over the hard limit is closed instead, as too slow. */
  send(text: string): void {
    if (this.hasEnded) return;
    const { queueHardBytes } = this.deps.limits;
    // What is over the limit is what was there before: nobody is closed for the size of one message.
    if (this.outbox.pushedBytes > queueHardBytes) {
      this.endSlow(`more than ${queueHardBytes} bytes are waiting to be read`);
    } else this.outbox.append(frameOf(text));
  }

  /** Hot. */
  isSlow(): boolean {
    return this.outbox.queuedBytes > this.deps.limits.queueSoftBytes;
  }

  /**
   * Tells the client what became of its message; the connection stays, until there were too many mistakes. What is
   * unavailable is ours.
   * @param id of the message
   */
  sendError({ code, message }: ClientError, id?: unknown): void {
    if (this.hasEnded) return;
    if (code !== 'unavailable' && !this.mistakes.take(performance.now())) {
      this.refuse(CLOSE_CODE.policy, 'too_many_errors', `more than ${ERRORS_MAX} errors`, id);
    } else this.send(JSON.stringify({ type: 'error', id, code, message }));
  }

  /** Tells the client why, and closes. @param id of the message that this answers */
  refuse(closeCode: number, code: WsErrorCode, message: string, id?: unknown): void {
    if (this.hasEnded) return;
    this.deps.counters.refuse(code);
    this.outbox.append(frameOf(JSON.stringify({ type: 'error', id, code, message })));
    this.close(closeCode, message);
  }

  /** Sends the client away: it may come back after so long. */
  leave(reconnectAfterMs: number): void {
    if (this.hasEnded) return;
    this.outbox.append(frameOf(`{"type":"shutdown","reconnect_after_ms":${reconnectAfterMs}}`));
    this.close(CLOSE_CODE.restart, 'restart');
  }

  terminate(): void {
    this.ws.terminate();
  }

  beat(now: number): void {
    const { outbox } = this;
    const { limits, pulse } = this.deps;
    // Not at the first beat after it, but at the last one before.
    if (outbox.isBlocked && now - outbox.progressAt > limits.stallMs - pulse.everyMs) {
      this.endSlow(`nothing was read for ${limits.stallMs} ms`);
      return;
    }
    if (!outbox.isBlocked && now - outbox.writtenAt >= limits.heartbeatMs) {
      this.send(`{"type":"heartbeat","timestamp":"${toIso(Date.now())}"}`);
    }
    if (now < this.pingAt) return;
    this.pingAt = now + limits.pingMs;
    if (this.pongs.isGone(outbox)) this.ws.terminate();
    else this.outbox.append(PING, 0);
  }

  private hear(data: RawData, isBinary: boolean): void {
    this.pongs.heard();
    if (this.hasEnded || !this.isWithinRate()) return;
    const { messageBytesMax } = this.deps.limits;
    // One Buffer, since ws is told of no other type.
    const bytes = data as Buffer;
    if (isBinary) this.refuse(CLOSE_CODE.unsupportedData, 'unsupported_data', 'messages must be text');
    else if (bytes.length > messageBytesMax) {
      this.refuse(CLOSE_CODE.tooBig, 'payload_too_large', `message: must not exceed ${messageBytesMax} bytes`);
    } else this.receive(bytes.toString());
  }

  /** A burst at once, and then so many a second. */
  private isWithinRate(): boolean {
    if (this.inbound.take(performance.now())) return true;
    const { inboundPerS } = this.deps.limits;
    this.refuse(CLOSE_CODE.rateLimited, 'rate_limited', `more than ${inboundPerS} messages a second`);
    return false;
  }

  private endSlow(message: string): void {
    this.deps.counters.slowCloses++;
    this.outbox.drop();
    this.refuse(CLOSE_CODE.tooSlow, 'too_slow', message);
  }

  private fail(err: unknown): void {
    this.deps.onFailure(err);
    this.refuse(CLOSE_CODE.upstreamGone, 'unavailable', 'the gateway cannot go on; try again later');
  }

  /** Closes once what was sent before is on its way, and without it where that takes too long. */
  private close(code: number, message: string): void {
    this.finish();
    // A character that is cut in two is left out.
    const reason = Buffer.from(message)
      .subarray(0, REASON_BYTES_MAX)
      .toString()
      .replace(/\uFFFD$/, '');
    const timer = setTimeout(() => this.ws.terminate(), GOODBYE_MS);
    this.outbox.flush();
    this.outbox
      .paced(0, () => {
        this.outbox.close();
        this.ws.close(code, reason);
      })
      .then(() => clearTimeout(timer), this.deps.onFailure);
  }

  private finish(): void {
    if (this.hasEnded) return;
    this.deps.counters.connections--;
    this.deps.pulse.delete(this);
    this.work.end();
    this.hasEnded = true;
    for (const act of this.endings.splice(0)) act();
  }
}
