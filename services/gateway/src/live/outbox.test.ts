import { Duplex } from 'node:stream';
import { LiveCounters } from './counters';
import { Flusher } from './flusher';
import { FRAME_BYTES_MAX, frameOf } from './frame';
import { Outbox } from './outbox';

/** A socket that takes everything at once, or waits to be told. */
class Peer extends Duplex {
  readonly writes: Buffer[] = [];
  isReading = true;
  private held: (() => void) | null = null;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // A copy: whoever takes everything at once has no right to the buffer afterwards.
    this.writes.push(Buffer.from(chunk));
    if (this.isReading) done();
    else this.held = done;
  }

  readOn(): void {
    this.isReading = true;
    this.held?.();
    this.held = null;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes);
  }
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
const filled = (length: number, byte: number) => Buffer.alloc(length, byte);
/** Of so many bytes, as its frames. */
const message = (length: number, byte: number) => frameOf(filled(length, byte));
/** A ping that goes along. */
const probe = (n: number) => Buffer.of(0x89, 4, 0, 0, 0, n);
const pongOfProbe = (n: number) => probe(n).subarray(2);

let peer: Peer;
let counters: LiveCounters;
let outbox: Outbox;
beforeEach(() => {
  peer = new Peer();
  counters = new LiveCounters();
  outbox = new Outbox(peer, new Flusher(0), counters);
});

/** What was written, frame by frame. */
function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let rest = bytes; rest.length > 0; rest = rest.subarray(frames.at(-1)!.length)) {
    const length = rest[1] === 126 ? 4 + rest.readUInt16BE(2) : 2 + rest[1]!;
    frames.push(rest.subarray(0, length));
  }
  return frames;
}
const isPing = (frame: Buffer) => frame[0] === 0x89;

test('what comes in one turn goes out in one write, in order', async () => {
  for (let i = 0; i < 5; i++) outbox.append(filled(10, i), 2);
  expect(peer.writes).toEqual([]);
  await nextTurn();
  expect(peer.writes).toEqual([Buffer.concat([0, 1, 2, 3, 4].map((i) => filled(10, i)))]);
  expect(counters).toMatchObject({ messagesOut: 10, bytesOut: 50, writes: 1, queueHighWaterBytes: 50 });
  outbox.append(filled(3, 9));
  await nextTurn();
  expect(peer.writes[1]).toEqual(filled(3, 9));
});

test('more than one write holds is cut between frames, with a ping after each 32 KiB, and arrives whole', async () => {
  const pieces = [message(70_000, 1), message(10, 2), message(350_000, 3), message(5, 4)];
  for (const piece of pieces) outbox.append(piece);
  await nextTurn();
  const frames = framesOf(peer.bytes);
  const written = Buffer.concat(frames.filter((frame) => !isPing(frame)));
  expect(written.equals(Buffer.concat(pieces))).toBe(true);
  expect(Math.max(...peer.writes.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
  expect(outbox.queuedBytes).toBe(0);
  let unprobed = 0;
  for (const frame of frames) {
    unprobed = isPing(frame) ? 0 : unprobed + frame.length;
    expect(unprobed).toBeLessThanOrEqual(2 * FRAME_BYTES_MAX);
  }
  expect(frames.filter(isPing).length).toBeLessThan(420_000 / FRAME_BYTES_MAX);
});

test('in a steady flow a ping follows on 128 KiB, and until it is answered one on each 16 KiB', async () => {
  const flow = async (messages: number) => {
    const before = peer.writes.length;
    for (let i = 0; i < messages; i++) {
      outbox.append(filled(1_024, 1));
      await nextTurn();
    }
    return peer.writes.slice(before).filter(isPing);
  };
  expect(await flow(127)).toEqual([]);
  expect(await flow(1)).toEqual([probe(1)]);
  expect(await flow(32)).toEqual([probe(2), probe(3)]);
  outbox.ponged(pongOfProbe(3));
  expect(await flow(127)).toEqual([]);
  expect(await flow(1)).toEqual([probe(4)]);
});

test('what a client asked for goes with a ping on each 32 KiB, however little of it comes at a time', async () => {
  for (let i = 0; i < 10; i++) {
    await outbox.paced(0, () => outbox.append(message(20_000, 1)));
    await nextTurn();
    outbox.ponged(pongOfProbe(i + 1));
  }
  expect(framesOf(peer.bytes).filter(isPing).length).toBe(10);
});

test('nothing is given to a socket that has not taken what it had, and what waits is counted', async () => {
  peer.isReading = false;
  outbox.append(filled(100, 1));
  await nextTurn();
  expect(outbox.isBlocked).toBe(true);
  for (let i = 0; i < 3; i++) outbox.append(filled(1_000, 2));
  await nextTurn();
  expect(peer.writes).toHaveLength(1);
  expect(outbox.queuedBytes).toBe(3_100);
  peer.readOn();
  await nextTurn();
  expect(peer.bytes).toEqual(Buffer.concat([filled(100, 1), filled(3_000, 2)]));
  expect([outbox.isBlocked, outbox.queuedBytes]).toEqual([false, 0]);
});

test('a write that waits keeps its bytes, whatever others write meanwhile', async () => {
  peer.isReading = false;
  outbox.append(filled(10, 1));
  outbox.append(filled(10, 1));
  await nextTurn();
  const other = new Peer();
  const another = new Outbox(other, new Flusher(0), counters);
  another.append(filled(10, 2));
  another.append(filled(10, 2));
  await nextTurn();
  expect(peer.writes[0]).toEqual(filled(20, 1));
  expect(other.writes[0]).toEqual(filled(20, 2));
});

test('dropping what waits leaves the rest of a message that was begun', async () => {
  peer.isReading = false;
  // Both in one piece, as channels hand over what came together.
  outbox.append(Buffer.concat([message(140_000, 1), message(50_000, 2)]), 2);
  outbox.append(message(50, 2));
  await nextTurn();
  outbox.drop();
  expect(outbox.queuedBytes).toBe(message(140_000, 1).length);
  outbox.append(message(5, 3));
  peer.readOn();
  await nextTurn();
  const written = Buffer.concat(framesOf(peer.bytes).filter((frame) => !isPing(frame)));
  expect(written.equals(Buffer.concat([message(140_000, 1), message(5, 3)]))).toBe(true);
});

test('dropping what waits behind a whole message leaves nothing of it', async () => {
  peer.isReading = false;
  outbox.append(message(10, 1));
  await nextTurn();
  outbox.append(message(140_000, 2));
  outbox.drop();
  peer.readOn();
  await nextTurn();
  expect(peer.bytes).toEqual(message(10, 1));
});

test('the pong of a ping that went along is progress; another is not, nor the same again', async () => {
  for (let i = 0; i < 4; i++) {
    outbox.append(message(32_768, 1));
    await nextTurn();
  }
  expect(peer.writes.filter(isPing)).toEqual([probe(1)]);
  outbox.progressAt = 0;
  for (const payload of [Buffer.alloc(0), pongOfProbe(0), pongOfProbe(2)]) outbox.ponged(payload);
  expect(outbox.progressAt).toBe(0);
  outbox.ponged(pongOfProbe(1));
  expect(outbox.progressAt).toBeGreaterThan(0);
  outbox.progressAt = 0;
  outbox.ponged(pongOfProbe(1));
  expect(outbox.progressAt).toBe(0);
});

test('a control frame is no news: the silence that heartbeats break goes on', async () => {
  outbox.writtenAt = 0;
  outbox.append(probe(9), 0);
  await nextTurn();
  expect([peer.bytes, outbox.writtenAt]).toEqual([probe(9), 0]);
  outbox.append(filled(1, 1));
  await nextTurn();
  expect(outbox.writtenAt).toBeGreaterThan(0);
});

test('of several who wait for room one goes first, and the others see it', async () => {
  peer.isReading = false;
  outbox.append(filled(100, 1));
  await nextTurn();
  const told: number[] = [];
  const waiting = [1, 2, 3].map((n) =>
    outbox.paced(50, () => {
      told.push(n);
      outbox.append(filled(1_000, n));
      peer.isReading = false;
    }),
  );
  await nextTurn();
  expect(told).toEqual([]);
  peer.readOn();
  await nextTurn();
  expect(told).toEqual([1]);
  // What they asked for is not held against them.
  expect([outbox.queuedBytes, outbox.pushedBytes]).toEqual([1_000, 0]);
  outbox.close();
  await Promise.all(waiting);
  expect(told).toEqual([1]);
});
