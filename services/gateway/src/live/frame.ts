/** FIN and the opcode. */
const TEXT = 0x81;
const PING = 0x89;
const PONG = 0x8a;
/** Payload lengths from which on the header holds two, and eight, bytes of length. */
const LENGTH_16 = 126;
const LENGTH_64 = 65_536;

/**
 * A text message as one WebSocket frame, as servers send it: header and payload in one buffer, so that the same bytes go
 * to any number of clients. RFC 6455, section 5.2.
 * @param allocate for a frame that is kept: not as a part of a larger buffer that would be kept with it
 */
export function frameOf(payload: Buffer | string, allocate: (bytes: number) => Buffer = Buffer.allocUnsafe): Buffer {
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  const header = length < LENGTH_16 ? 2 : length < LENGTH_64 ? 4 : 10;
  const frame = allocate(header + length);
  frame[0] = TEXT;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length % 2 ** 32, 6);
  }
  if (typeof payload === 'string') frame.write(payload, header);
  else payload.copy(frame, header);
  return frame;
}

/** A control frame. @param payload at most 125 bytes */
export function controlFrameOf(kind: 'ping' | 'pong', payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(kind === 'ping' ? PING : PONG, payload.length), payload]);
}

/** The payload of a frame that {@link frameOf} made. */
export function payloadOf(frame: Buffer): Buffer {
  const length = frame[1]!;
  return frame.subarray(length < LENGTH_16 ? 2 : length === LENGTH_16 ? 4 : 10);
}
