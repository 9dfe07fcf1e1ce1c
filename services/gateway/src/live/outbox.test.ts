import { Duplex } from 'node:stream';
import { LiveCounters } from './counters';
import { Flusher } from './flusher';
import { frameOf, payloadOf } from './frame';
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
/** The ping that follows 128 KiB. */
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

test.each([0, 1, 125, 126, 65_535, 65_536, 70_000])('a payload of %i bytes comes back out of its frame', (length) => {
  const payload = filled(length, 7);
  expect(payloadOf(frameOf(payload))).toEqual(payload);
  expect(frameOf(payload)[0]).toBe(0x81);
  expect(payloadOf(frameOf('é'.repeat(length))).toString()).toBe('é'.repeat(length));
});

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

test('more than one write holds is cut, and arrives whole', async () => {
  const pieces = [filled(70_000, 1), filled(70_000, 2), filled(200_000, 3), filled(5, 4)];
  for (const piece of pieces) outbox.append(piece);
  await nextTurn();
  const [a, b, c, d] = pieces as [Buffer, Buffer, Buffer, Buffer];
  // Between frames alone, though the third went out in four parts.
  expect(peer.bytes).toEqual(Buffer.concat([a, b, probe(1), c, d, probe(2)]));
  expect(Math.max(...peer.writes.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
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

test('dropping what waits leaves the rest of a frame that was begun', async () => {
  peer.isReading = false;
  outbox.append(filled(140_000, 1));
  outbox.append(filled(50, 2));
  await nextTurn();
  outbox.drop();
  outbox.append(filled(5, 3));
  peer.readOn();
  await nextTurn();
  expect(peer.bytes).toEqual(Buffer.concat([filled(140_000, 1), filled(5, 3), probe(1)]));
});

test('the pong of a ping that went along is progress; another is not, nor the same again', async () => {
  outbox.append(filled(140_000, 1));
  await nextTurn();
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
