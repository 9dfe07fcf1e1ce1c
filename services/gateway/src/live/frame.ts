/**
 * A message of more bytes goes out in several frames: control frames may go between two frames, and into none. Bytes of a
 * frame, its header included.
 */
export const FRAME_BYTES_MAX = 16 * 1024;

/** First byte of a frame: whether it is the last one of its message, and the opcode. */
const LAST = 0x80;
const OPCODE = 0x0f;
const CONTINUATION = 0x0;
const TEXT = 0x1;
const PING = 0x9;
const PONG = 0xa;
/** Payload lengths from which on the header holds two bytes of length. */
const LENGTH_16 = 126;
const HEADER_BYTES_MAX = 4;
const PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - HEADER_BYTES_MAX;

/**
 * A text message as WebSocket frames, as servers send them: headers and payloads in one buffer, so that the same bytes go
 * to any number of clients. One frame, but for long messages. RFC 6455, sections 5.2 and 5.4.
 * @param allocate for frames that are kept: not as a part of a larger buffer that would be kept with them
 */
export function frameOf(payload: Buffer | string, allocate: (bytes: number) => Buffer = Buffer.allocUnsafe): Buffer {
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  if (length > PAYLOAD_BYTES_MAX) return cut(typeof payload === 'string' ? Buffer.from(payload) : payload, allocate);
  const header = headerBytes(length);
  const frame = allocate(header + length);
  writeHeader(frame, LAST | TEXT, length);
  if (typeof payload === 'string') frame.write(payload, header);
  else payload.copy(frame, header);
  return frame;
}

/** A control frame. @param payload at most 125 bytes */
export function controlFrameOf(kind: 'ping' | 'pong', payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(LAST | (kind === 'ping' ? PING : PONG), payload.length), payload]);
}

/** The payload of a message that {@link frameOf} made. */
export function payloadOf(frames: Buffer): Buffer {
  if ((frames[0]! & LAST) !== 0) return frames.subarray(headerOf(frames, 0));
  const parts: Buffer[] = [];
  for (let at = 0; at < frames.length; at += frameBytes(frames, at)) {
    parts.push(frames.subarray(at + headerOf(frames, at), at + frameBytes(frames, at)));
  }
  return Buffer.concat(parts);
}

/** Bytes of the first frames in `frames` that together are no more than `bytesMax`. */
export function bytesOfFrames(frames: Buffer, bytesMax: number): number {
  let bytes = 0;
  while (bytes < frames.length) {
    const next = bytes + frameBytes(frames, bytes);
    if (next > bytesMax) break;
    bytes = next;
  }
  return bytes;
}

/** Where `frames` go on with a message whose beginning was cut off: the rest of that message. Empty otherwise. */
export function restOfMessage(frames: Buffer): Buffer {
  let bytes = 0;
  let isLast = (frames[0]! & OPCODE) !== CONTINUATION;
  while (!isLast) {
    isLast = (frames[bytes]! & LAST) !== 0;
    bytes += frameBytes(frames, bytes);
  }
  return frames.subarray(0, bytes);
}

function cut(payload: Buffer, allocate: (bytes: number) => Buffer): Buffer {
  const whole = Math.floor((payload.length - 1) / PAYLOAD_BYTES_MAX);
  const last = payload.length - whole * PAYLOAD_BYTES_MAX;
  const frames = allocate(whole * FRAME_BYTES_MAX + headerBytes(last) + last);
  for (let i = 0; i <= whole; i++) {
    const frame = frames.subarray(i * FRAME_BYTES_MAX);
    const length = i < whole ? PAYLOAD_BYTES_MAX : last;
    writeHeader(frame, (i < whole ? 0 : LAST) | (i === 0 ? TEXT : CONTINUATION), length);
    const from = i * PAYLOAD_BYTES_MAX;
    payload.copy(frame, headerBytes(length), from, from + length);
  }
  return frames;
}

function headerBytes(payloadBytes: number): number {
  return payloadBytes < LENGTH_16 ? 2 : HEADER_BYTES_MAX;
}

function writeHeader(frame: Buffer, first: number, length: number): void {
  frame[0] = first;
  if (length < LENGTH_16) frame[1] = length;
  else {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  }
}

/** Bytes of the header at `at`. */
function headerOf(frames: Buffer, at: number): number {
  return frames[at + 1] === LENGTH_16 ? HEADER_BYTES_MAX : 2;
}

/** Bytes of the frame at `at`. */
function frameBytes(frames: Buffer, at: number): number {
  return frames[at + 1] === LENGTH_16 ? HEADER_BYTES_MAX + frames.readUInt16BE(at + 2) : 2 + frames[at + 1]!;
}
