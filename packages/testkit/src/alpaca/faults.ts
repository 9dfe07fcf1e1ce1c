import type { StreamErrorCode } from '@candlewire/alpaca';

/** What goes wrong. Connections and requests are numbered from 1, in the order of their arrival, refused ones included. */
export interface FaultScript {
  readonly connections?: Readonly<Record<number, ConnectionFault>> | ((number: number) => ConnectionFault | undefined);
  readonly requests?: Readonly<Record<number, RequestFault>> | ((request: FaultyRequest) => RequestFault | undefined);
}

export interface FaultyRequest {
  readonly number: number;
  /** How many requests of this path there were, this one included. */
  readonly numberOfPath: number;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** All that goes wrong on one connection. */
export interface ConnectionFault {
  /** The upgrade is answered with this status, or (`hang`) not at all. */
  readonly upgrade?: number | 'hang';
  /** False: `connected` is never said. */
  readonly greeting?: false;
  /**
   * `silent`: no answer to an auth message. Otherwise this error; 402 and 404 end the connection as ever, others keep it
   * open (and 404 follows at the auth timeout) unless `close` says that it ends.
   */
  readonly auth?: 'silent' | { readonly code: StreamErrorCode; readonly close?: boolean };
  /** The first `times` (default all) subscribe messages are refused so and change nothing. */
  readonly subscribe?: { readonly code: StreamErrorCode; readonly times?: number };
  /** False: pings are not answered. */
  readonly pong?: false;
  readonly data?: readonly DataFault[];
}

/**
 * Something that happens once, when `afterBars` messages `b` have been sent on the connection (0: after the first
 * acknowledgement). One that alters a bar alters the next.
 */
export type DataFault = {
  readonly afterBars: number;
} /** With a close frame of this code, 1000 if none is given. */ & (
  | { readonly do: 'close'; readonly code?: number }
  /** Without a close frame: the client sees 1006, and the slot stays occupied for the ghost time. */
  | { readonly do: 'terminate' }
  /** No more data while pings are answered; `bars`: this many are swallowed, then it goes on. */
  | { readonly do: 'mute'; readonly bars?: number }
  /** A frame that is no msgpack and no JSON; one of the other encoding; one without an array; one with a null in it. */
  | { readonly do: 'bad_bytes' | 'other_encoding' | 'not_an_array' | 'null_element' }
  | { readonly do: 'missing_field'; readonly field: 'S' | 'o' | 'h' | 'l' | 'c' | 'v' | 't' }
  /** The bar is sent twice. */
  | { readonly do: 'duplicate' }
  /** The bar is sent after the next one of its symbol. */
  | { readonly do: 'out_of_order' }
  | { readonly do: 'error'; readonly code: StreamErrorCode; readonly close?: boolean }
);

export type RequestFault =
  /** Any error; 429 takes a Retry-After, in seconds. */
  | { readonly status: number; readonly retryAfterS?: number; readonly message?: string }
  /** 403 as of a plan without recent SIP data. */
  | { readonly sip: true }
  /** At most so many bars in the page, with a token to go on. */
  | { readonly shortPage: number }
  /** `"bars":null` and no token. */
  | { readonly nullBars: true }
  /** The token of the page is the one that the request came with (of a first page: its own, for ever). */
  | { readonly repeatToken: true }
  /** A body that is no JSON. */
  | { readonly badBody: true }
  /** Never answered. */
  | { readonly hang: true }
  /** The connection is cut without an answer. */
  | { readonly drop: true }
  /** Answered so much later. */
  | { readonly delayMs: number };
