import type { Duplex } from 'node:stream';
import type { LiveCounters } from './counters';
import type { Flushable, Flusher } from './flusher';
import { bytesOfFrames, controlFrameOf, FRAME_BYTES_MAX, restOfMessage } from './frame';

/** The most that one write takes, so that a slow reader's progress can be seen. */
const WRITE_BYTES_MAX = 64 * 1024;
/** After so many bytes a ping follows, by whose pong the peer is known to have read them. */
const PROBE_BYTES = 128 * 1024;
/**
 * Where much is written at once, or a ping was not answered yet, the peer may be slow. A write takes no more than this then,
 * and a ping follows on nearly each, so that the slowest peer that goes on reading answers one in time. Pings of the steady
 * flow to all who keep up are few, since each costs as much as many messages.
 */
const SLOW_WRITE_BYTES_MAX = 32 * 1024;
/** A write of whole frames, where more waits, is never smaller. */
const SLOW_PROBE_BYTES = SLOW_WRITE_BYTES_MAX - FRAME_BYTES_MAX;

/** A number. */
const PROBE_LENGTH = 4;

const NOTHING = Buffer.alloc(0);

/**
 * One buffer for all writes: a socket that takes everything at once, as nearly every one does, is done with it when the
 * write returns.
 */
let scratch = Buffer.allocUnsafeSlow(WRITE_BYTES_MAX);

/**
 * What waits to be sent to one client. It writes to the socket only while that takes everything; otherwise it waits here,
 * where it can be counted and dropped. Whatever is written goes through it, control frames too: a write ends between two
 * frames, though not always between two messages.
 *
 * Whether a slow peer reads is not seen by what the socket takes: the system's buffers hold megabytes, and take more only
 * when a good part of that is free. So pings go along with the data.
 */
export class Outbox implements Flushable {
  /** Whole frames; the first of all may go on with a message whose beginning was written. */
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  /** Of what was queued since the queue was last empty: what the client asked for itself. */
  private askedBytes = 0;
  private due = false;
  /** The socket has not passed on all that it was given. */
  private blocked = false;
  private closed = false;
  /** There are messages in what waits. */
  private hasMessages = false;
  private readonly drains: (() => void)[] = [];
  /** Written since the last ping that went along. */
  private unprobedBytes = 0;
  /** Pings that went along, and the last of them that was answered. */
  private probes = 0;
  private answered = 0;
  /**
   * When the peer read something, the socket took something, or was given something while it had nothing; by
   * performance.now().
   */
  progressAt = 0;
  /** When messages were last written; by performance.now(). */
  writtenAt = performance.now();

  constructor(
    private readonly socket: Duplex,
    private readonly flusher: Flusher,
    private readonly counters: LiveCounters,
  ) {}

  /** What waits, here and in the socket. */
  get queuedBytes(): number {
    return this.blocked ? this.waitingBytes + this.socket.writableLength : this.waitingBytes;
  }

  /** What waits, but for what the client asked for itself. */
  get pushedBytes(): number {
    return this.queuedBytes - this.askedBytes;
  }

  /** The client has more to read than the socket takes. */
  get isBlocked(): boolean {
    return this.blocked;
  }

  /** Queues the frames of whole messages, as frame.ts makes them, that hold `messages` messages; 0: control frames. Hot. */
  append(frames: Buffer, messages = 1): void {
    if (this.closed) return;
    this.counters.messagesOut += messages;
    if (messages > 0) this.hasMessages = true;
    this.waiting.push(frames);
    this.waitingBytes += frames.length;
    if (this.waitingBytes > this.counters.queueHighWaterBytes) this.counters.queueHighWaterBytes = this.waitingBytes;
    if (this.due || this.blocked) return;
    this.due = true;
    this.flusher.outbox(this);
  }

  /** Writes what waits, as far as the socket takes it. Hot. */
  flush(): void {
    this.due = false;
    if (this.blocked || this.closed || this.waiting.length === 0) return;
    const { counters, socket } = this;
    this.progressAt = this.flusher.now;
    if (this.hasMessages) this.writtenAt = this.flusher.now;
    this.hasMessages = false;
    do {
      const maybeSlow = this.askedBytes > 0 || this.waitingBytes > WRITE_BYTES_MAX || this.answered < this.probes;
      const bytes = this.take(maybeSlow ? SLOW_WRITE_BYTES_MAX : WRITE_BYTES_MAX);
      counters.writes++;
      counters.bytesOut += bytes.length;
      this.unprobedBytes += bytes.length;
      if (this.unprobedBytes >= (maybeSlow ? SLOW_PROBE_BYTES : PROBE_BYTES)) this.probe();
      socket.write(bytes);
      this.blocked = socket.writableLength > 0;
    } while (this.waiting.length > 0 && !this.blocked);
    if (this.blocked) this.waitForSocket();
    else this.drained();
  }

  /**
   * Calls `act` when no more than `bytes` wait, so that of several who wait for it one goes first. What it appends is what
   * the client asked for, and is not held against it. Resolves afterwards, or when the outbox is closed.
   */
  async paced(bytes: number, act: () => void): Promise<void> {
    while (this.queuedBytes > bytes && !this.closed) await new Promise<void>((resolve) => this.drains.push(resolve));
    if (this.closed) return;
    const before = this.queuedBytes;
    act();
    this.askedBytes += this.queuedBytes - before;
  }

  /** A pong came. Of another ping than those that went along with the data it says nothing here. */
  ponged(payload: Buffer): void {
    if (payload.length !== PROBE_LENGTH) return;
    const probe = payload.readUInt32BE();
    if (probe <= this.answered || probe > this.probes) return;
    this.answered = probe;
    this.progressAt = performance.now();
  }

  /** Forgets what waits here, but for the rest of a message that was begun; what the socket has goes on. */
  drop(): void {
    this.waiting = this.waiting.map(restOfMessage).filter((rest) => rest.length > 0);
    this.waitingBytes = this.waiting.reduce((sum, rest) => sum + rest.length, 0);
    this.askedBytes = 0;
  }

  /** Takes nothing any more. */
  close(): void {
    this.closed = true;
    this.drop();
    this.drained();
  }

  /** To be written before whatever waits. */
  private probe(): void {
    this.unprobedBytes = 0;
    const payload = Buffer.alloc(PROBE_LENGTH);
    payload.writeUInt32BE(++this.probes);
    const frame = controlFrameOf('ping', payload);
    this.waiting.unshift(frame);
    this.waitingBytes += frame.length;
  }

  /** The next frames to be written: in the scratch where they are not one piece. */
  private take(bytesMax: number): Buffer {
    const { waiting } = this;
    const first = waiting[0]!;
    if (waiting.length === 1 && first.length <= bytesMax) {
      waiting.pop();
      this.waitingBytes = 0;
      return first;
    }
    let length = 0;
    let taken = 0;
    for (; taken < waiting.length; taken++) {
      const piece = waiting[taken]!;
      if (length + piece.length > bytesMax) break;
      scratch.set(piece, length);
      length += piece.length;
    }
    if (taken === waiting.length) waiting.length = 0;
    else {
      waiting.splice(0, taken);
      const next = waiting[0]!;
      const more = bytesOfFrames(next, bytesMax - length);
      scratch.set(next.subarray(0, more), length);
      length += more;
      waiting[0] = next.subarray(more);
    }
    this.waitingBytes -= length;
    return scratch.subarray(0, length);
  }

  private waitForSocket(): void {
    // It goes on reading from the buffer: it keeps it.
    scratch = Buffer.allocUnsafeSlow(WRITE_BYTES_MAX);
    // Called when what was written before is on its way. Asked for only now, since nearly every write is at once.
    this.socket.write(NOTHING, () => {
      this.blocked = false;
      this.progressAt = this.flusher.now = performance.now();
      this.flush();
      if (!this.blocked) this.drained();
    });
  }

  private drained(): void {
    this.askedBytes = 0;
    if (this.drains.length === 0) return;
    for (const resolve of this.drains.splice(0)) resolve();
  }
}
