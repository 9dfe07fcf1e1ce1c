import {
  decode,
  decodeTimestampToTimeSpec,
  Encoder,
  EXT_TIMESTAMP,
  ExtensionCodec,
  encodeTimeSpecToTimestamp,
} from '@msgpack/msgpack';
import type { StreamMessage } from './messages';
import { formatTimestamp, parseTimestamp } from './timestamp';

/** What a client chose by the Content-Type of its upgrade request. */
export type Encoding = 'json' | 'msgpack';

/** A message encoded by itself. Encoded once, it can stand in the frames of any number of connections. */
export type Fragment<E extends Encoding = Encoding> = E extends 'json' ? string : Uint8Array;

export interface Codec<E extends Encoding = Encoding> {
  readonly encoding: E;
  /** A message with `T` as its first key; the Go client reads no other. */
  fragment(message: StreamMessage): Fragment<E>;
  /** An array of fragments: what goes out as one frame, text for JSON, binary for msgpack. */
  frame(fragments: readonly Fragment<E>[]): Fragment<E>;
}

const NS_PER_MS = 1_000_000;
const MS_PER_S = 1_000;
/** `{` `[` and what JSON may have before them: none of these bytes begins a message or an array in msgpack. */
const JSON_FIRST = new Set([0x7b, 0x5b, 0x20, 0x09, 0x0a, 0x0d]);
const ARRAY_SHORT_MAX = 15;
const ARRAY_MEDIUM_MAX = 0xffff;

/** A moment that goes out as msgpack's timestamp and not as text; clients in Go and Python read nothing else. */
class WireTimestamp {
  constructor(readonly bytes: Uint8Array) {}
}

const extensions = new ExtensionCodec();
extensions.register({
  type: EXT_TIMESTAMP,
  encode: (value) => (value instanceof WireTimestamp ? value.bytes : null),
  decode: (bytes) => {
    const { sec, nsec } = decodeTimestampToTimeSpec(bytes);
    const ns = nsec % NS_PER_MS;
    return formatTimestamp({ ms: sec * MS_PER_S + (nsec - ns) / NS_PER_MS, ns });
  },
});
const encoder = new Encoder({ extensionCodec: extensions });
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** `application/msgpack` gives msgpack, all else (and nothing) JSON. */
export function encodingOf(contentType: string | undefined): Encoding {
  return /^application\/msgpack\b/i.test(contentType ?? '') ? 'msgpack' : 'json';
}

export const jsonCodec: Codec<'json'> = {
  encoding: 'json',
  fragment: (message) => JSON.stringify(typeFirst(message)),
  frame: (fragments) => `[${fragments.join(',')}]`,
};

export const msgpackCodec: Codec<'msgpack'> = {
  encoding: 'msgpack',
  fragment: (message) => encoder.encode('t' in message ? withWireTimestamp(message) : typeFirst(message)),
  frame(fragments) {
    const header = arrayHeader(fragments.length);
    let length = header.length;
    for (const fragment of fragments) length += fragment.length;
    const frame = new Uint8Array(length);
    frame.set(header);
    let at = header.length;
    for (const fragment of fragments) {
      frame.set(fragment, at);
      at += fragment.length;
    }
    return frame;
  },
};

const codecs: { readonly [E in Encoding]: Codec<E> } = { json: jsonCodec, msgpack: msgpackCodec };

export function codecFor<E extends Encoding>(encoding: E): Codec<E> {
  return codecs[encoding] as Codec<E>;
}

/** Messages as one frame. Control messages must be alone in theirs. */
export function encodeFrame(encoding: Encoding, messages: readonly StreamMessage[]): string | Uint8Array {
  if (encoding === 'json') return jsonCodec.frame(messages.map(jsonCodec.fragment));
  return msgpackCodec.frame(messages.map(msgpackCodec.fragment));
}

/** A client's message in the encoding it chose. */
export function encodeRequest(encoding: Encoding, request: object): string | Uint8Array {
  return encoding === 'json' ? JSON.stringify(request) : encoder.encode(request);
}

/**
 * What a frame holds, of either encoding and whichever kind of frame it came in; undefined where it cannot be read.
 * Never throws. msgpack's timestamps come out as RFC 3339 texts.
 */
export function decodeFrame(data: string | Uint8Array): unknown {
  try {
    if (typeof data === 'string') return JSON.parse(data);
    if (JSON_FIRST.has(data[0]!)) return JSON.parse(utf8.decode(data));
    return decode(data, { extensionCodec: extensions });
  } catch {
    return undefined;
  }
}

/** A server's frame as its messages, and how many of its elements are none. Their fields are not checked yet. */
export interface ReadFrame {
  readonly messages: readonly StreamMessage[];
  /** 1 also where the frame as a whole cannot be read. */
  readonly unreadable: number;
}

export function readFrame(data: string | Uint8Array): ReadFrame {
  const value = decodeFrame(data);
  if (!Array.isArray(value)) return { messages: [], unreadable: 1 };
  const messages = value.filter(isMessage);
  return { messages, unreadable: value.length - messages.length };
}

function isMessage(value: unknown): value is StreamMessage {
  return typeof value === 'object' && value !== null && typeof (value as { T?: unknown }).T === 'string';
}

function withWireTimestamp(message: StreamMessage & { readonly t: string }): object {
  return { ...typeFirst(message), t: wireTimestamp(message.t) };
}

/** Nearly always it is. */
function typeFirst(message: StreamMessage): StreamMessage {
  for (const key in message) {
    if (key === 'T') return message;
    break;
  }
  const { T, ...rest } = message;
  return { T, ...rest } as StreamMessage;
}

let lastText = '';
let lastTimestamp = new WireTimestamp(new Uint8Array());

/** Hot: all bars of a minute have the same. A text that is no moment goes out as it is. */
function wireTimestamp(text: string): WireTimestamp | string {
  if (text === lastText) return lastTimestamp;
  const instant = parseTimestamp(text);
  if (instant === null) return text;
  const sec = Math.floor(instant.ms / MS_PER_S);
  const nsec = (instant.ms - sec * MS_PER_S) * NS_PER_MS + instant.ns;
  lastText = text;
  return (lastTimestamp = new WireTimestamp(encodeTimeSpecToTimestamp({ sec, nsec })));
}

function arrayHeader(length: number): Uint8Array {
  if (length <= ARRAY_SHORT_MAX) return Uint8Array.of(0x90 | length);
  if (length <= ARRAY_MEDIUM_MAX) return Uint8Array.of(0xdc, length >> 8, length & 0xff);
  return Uint8Array.of(0xdd, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
}
