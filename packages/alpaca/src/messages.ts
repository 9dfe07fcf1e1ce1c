/**
 * What Alpaca's stream (v2, stocks) sends. Every frame is an array; a control message is always alone in its own.
 * Timestamps are RFC 3339 texts with up to nine decimals here, whatever they were on the wire.
 */

/** The channels of an acknowledgement, in its order: all nine of them, always. */
export const ACK_CHANNELS = [
  'trades',
  'quotes',
  'bars',
  'updatedBars',
  'dailyBars',
  'statuses',
  'lulds',
  'corrections',
  'cancelErrors',
] as const;
export type AckChannel = (typeof ACK_CHANNELS)[number];

/** Follow `trades` by themselves and cannot be asked for. */
export const FOLLOWING_CHANNELS = ['corrections', 'cancelErrors'] as const;

/** Of other feeds than those of stocks, or of some of them alone. */
export const OTHER_CHANNELS = ['imbalances', 'orderbooks', 'news'] as const;

/** What a client may ask for somewhere. */
export type Channel = Exclude<AckChannel, (typeof FOLLOWING_CHANNELS)[number]> | (typeof OTHER_CHANNELS)[number];
export const CHANNELS: readonly Channel[] = [
  'trades',
  'quotes',
  'bars',
  'updatedBars',
  'dailyBars',
  'statuses',
  'lulds',
  ...OTHER_CHANNELS,
];

/** Every symbol. */
export const ALL = '*';

/** Codes and texts of `error` messages; clients tell them apart by the code. */
export const STREAM_ERRORS = {
  400: 'invalid syntax',
  401: 'not authenticated',
  402: 'auth failed',
  403: 'already authenticated',
  404: 'auth timeout',
  405: 'symbol limit exceeded',
  406: 'connection limit exceeded',
  407: 'slow client',
  408: 'v2 not enabled',
  409: 'insufficient subscription',
  410: 'invalid subscribe action for this feed',
  411: 'insufficient scope',
  412: 'only msgpack encoding is supported',
  413: 'star subscription is not allowed',
  500: 'internal error',
} as const;
export type StreamErrorCode = keyof typeof STREAM_ERRORS;

export interface SuccessMessage {
  readonly T: 'success';
  readonly msg: 'connected' | 'authenticated';
}

export interface ErrorMessage {
  readonly T: 'error';
  readonly code: number;
  readonly msg: string;
}

/** The whole set in force after a change. `imbalances` stands there only where it is not empty. */
export type SubscriptionMessage = { readonly T: 'subscription'; readonly imbalances?: readonly string[] } & {
  readonly [Name in AckChannel]: readonly string[];
};

export type ControlMessage = SuccessMessage | ErrorMessage | SubscriptionMessage;

/** `b` a minute that ended, `u` the same minute once more after a late trade, `d` the day so far. */
export interface BarMessage {
  readonly T: 'b' | 'u' | 'd';
  readonly S: string;
  readonly o: number;
  readonly h: number;
  readonly l: number;
  readonly c: number;
  /** Shares, a whole number. */
  readonly v: number;
  /** Left edge; of `d` the midnight of New York. */
  readonly t: string;
  /** Trades. */
  readonly n?: number;
  /** Volume weighted average price. */
  readonly vw?: number;
}

export interface TradeMessage {
  readonly T: 't';
  readonly S: string;
  /** Trade id. */
  readonly i: number;
  /** Exchange. */
  readonly x: string;
  readonly p: number;
  /** Shares. */
  readonly s: number;
  /** Conditions. */
  readonly c: readonly string[];
  readonly t: string;
  /** Tape. */
  readonly z: string;
}

/** Quotes, statuses, bands, corrections, cancels and imbalances: known to exist, and no more. */
export interface OtherMessage {
  readonly T: 'q' | 's' | 'l' | 'c' | 'x' | 'i';
  readonly S: string;
  readonly t: string;
  readonly [field: string]: unknown;
}

export type DataMessage = BarMessage | TradeMessage | OtherMessage;
export type StreamMessage = ControlMessage | DataMessage;

/** The channel by which a message of data reaches who subscribed it. */
export const CHANNEL_OF: Readonly<Record<DataMessage['T'], AckChannel | 'imbalances'>> = {
  b: 'bars',
  u: 'updatedBars',
  d: 'dailyBars',
  t: 'trades',
  q: 'quotes',
  s: 'statuses',
  l: 'lulds',
  c: 'corrections',
  x: 'cancelErrors',
  i: 'imbalances',
};

export const CONNECTED: SuccessMessage = { T: 'success', msg: 'connected' };
export const AUTHENTICATED: SuccessMessage = { T: 'success', msg: 'authenticated' };

export function errorMessage(code: StreamErrorCode): ErrorMessage {
  return { T: 'error', code, msg: STREAM_ERRORS[code] };
}
