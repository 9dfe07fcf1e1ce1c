const LENGTH_MASK = 0x7f;
const OPCODE_MASK = 0x0f;
export const TEXT = 1;
export const PING = 9;
export const PONG = 10;

export interface FrameReader {
  /** Frames with payloads of at least so many bytes are market data; others, and where it is Infinity all, are control. */
  dataBytesMin: number;
  /** Whether market data is to be looked at, and not only counted. */
  traced: boolean;
  /** Takes bytes as they came from the socket; keeps none of them, so that the buffer may be used again. */
  feed(chunk: Buffer): void;
}

export interface FrameSink {
  counted(): void;
  /** Market data lies in `bytes` from `from` up to `to`. */
  traced(bytes: Buffer, from: number, to: number): void;
  control(opcode: number, payload: Buffer): void;
}

/** Cuts a server's bytes into WebSocket frames; payloads that are only counted are passed over. */
export function createFrameReader(sink: FrameSink): FrameReader {
  /** Bytes of a counted payload that have not arrived. */
  let missing = 0;
  /** The beginning of a frame that could not be cut yet. */
  let rest: Buffer | null = null;

  const reader: FrameReader = {
    dataBytesMin: Number.POSITIVE_INFINITY,
    traced: false,
    feed(chunk) {
      let at = Math.min(missing, chunk.length);
      if (missing > 0) {
        missing -= at;
        if (missing > 0) return;
        sink.counted();
      }
      let bytes = chunk;
      if (rest !== null) {
        bytes = Buffer.concat([rest, chunk.subarray(at)]);
        at = 0;
        rest = null;
      }
      while (at < bytes.length) {
        const from = payloadStart(bytes, at);
        const length = from <= bytes.length ? payloadLength(bytes, at) : 0;
        const isCounted = from <= bytes.length && length >= reader.dataBytesMin && !reader.traced;
        if (from + length > bytes.length || from > bytes.length) {
          if (isCounted) missing = from + length - bytes.length;
          else rest = Buffer.from(bytes.subarray(at));
          return;
        }
        if (isCounted) sink.counted();
        else if (length >= reader.dataBytesMin) sink.traced(bytes, from, from + length);
        else sink.control(bytes[at]! & OPCODE_MASK, bytes.subarray(from, from + length));
        at = from + length;
      }
    },
  };
  return reader;
}

/** Beyond the end where the header has not arrived as a whole. */
function payloadStart(bytes: Buffer, at: number): number {
  if (at + 2 > bytes.length) return at + 2;
  const short = bytes[at + 1]! & LENGTH_MASK;
  return at + (short < 126 ? 2 : short === 126 ? 4 : 10);
}

function payloadLength(bytes: Buffer, at: number): number {
  const short = bytes[at + 1]! & LENGTH_MASK;
  if (short < 126) return short;
  return short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
}

/** A client's frame. Clients must mask, and a mask of zeros is one. */
export function clientFrame(opcode: number, text: string | Buffer): Buffer {
  const payload = Buffer.from(text);
  const isShort = payload.length < 126;
  const frame = Buffer.alloc((isShort ? 6 : 8) + payload.length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (isShort ? payload.length : 126);
  if (!isShort) frame.writeUInt16BE(payload.length, 2);
  payload.copy(frame, isShort ? 6 : 8);
  return frame;
}
