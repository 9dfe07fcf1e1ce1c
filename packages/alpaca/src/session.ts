import { type ChannelSymbols, type Credentials, parseClientMessage } from './client-message';
import {
  ACK_CHANNELS,
  type AckChannel,
  ALL,
  AUTHENTICATED,
  CHANNEL_OF,
  type Channel,
  CONNECTED,
  type ControlMessage,
  type DataMessage,
  errorMessage,
  FOLLOWING_CHANNELS,
  type StreamErrorCode,
  type SubscriptionMessage,
} from './messages';

/**
 * A server's side of one connection. No sockets, no clock: each function takes the state and what happened, and answers
 * with the next state and what to send.
 *
 *   connected ──auth──▶ authenticated ──subscribe / unsubscribe──▶ authenticated
 *       └──timeout, or an error of {@link ENDING_ERRORS}──▶ end
 *
 * Nothing comes between `connected`, `authenticated` and the first acknowledgement: several clients read exactly one
 * message for each.
 */
export interface SessionState {
  readonly phase: 'connected' | 'authenticated';
  readonly subscribed: ChannelSymbols;
}

export interface SessionRules {
  /** Null lets the client in; a code (402, 406, 409 …) keeps it out. May count: it is asked once for each attempt. */
  readonly admit: (credentials: Credentials) => StreamErrorCode | null;
  /** Channels of this feed; others are refused with 410. */
  readonly channels: readonly Channel[];
  /** Different symbols over all channels; `*` is more than any number but Infinity. Beyond it 405, and nothing changes. */
  readonly symbolsMax: number;
}

export interface SessionStep {
  readonly state: SessionState;
  /** Each goes out in a frame of its own, in this order. */
  readonly replies: readonly ControlMessage[];
  /** Close the connection after the replies; a second later, since many clients come again at once. */
  readonly end: boolean;
}

/** A client that gets one of these has nothing more to do here. 406 is not among them: Alpaca keeps that socket open. */
export const ENDING_ERRORS: ReadonlySet<number> = new Set<StreamErrorCode>([402, 404, 407]);

/** A client has this long to authenticate, then {@link authTimedOut}. */
export const AUTH_TIMEOUT_MS = 10_000;

/** The channels of a stocks feed. */
export const STOCK_CHANNELS: readonly Channel[] = [
  'trades',
  'quotes',
  'bars',
  'updatedBars',
  'dailyBars',
  'statuses',
  'lulds',
  'imbalances',
];

const FRESH: SessionState = { phase: 'connected', subscribed: new Map() };
const NOBODY: ReadonlySet<string> = new Set();

/** The greeting, and the answer to credentials in the headers of the upgrade if there were any. */
export function openSession(rules: SessionRules, headers: Credentials | null = null): SessionStep {
  if (headers === null) return { state: FRESH, replies: [CONNECTED], end: false };
  const step = authenticate(FRESH, headers, rules);
  return { ...step, replies: [CONNECTED, ...step.replies] };
}

/** @param message what `decodeFrame` made of a frame: undefined where it could not be read */
export function receive(state: SessionState, message: unknown, rules: SessionRules): SessionStep {
  const parsed = parseClientMessage(message);
  if (parsed === null) return refuse(state, 400);
  if (parsed.action === 'auth') return authenticate(state, parsed.credentials, rules);
  if (state.phase !== 'authenticated') return refuse(state, 401);
  for (const channel of parsed.channels.keys()) if (!rules.channels.includes(channel)) return refuse(state, 410);
  const change = parsed.action === 'subscribe' ? added : removed;
  const subscribed = change(state.subscribed, parsed.channels);
  if (parsed.action === 'subscribe' && symbolCount(subscribed) > rules.symbolsMax) return refuse(state, 405);
  return { state: { ...state, subscribed }, replies: [acknowledgement(subscribed)], end: false };
}

/** Whoever has not authenticated by now is told so and closed; for others nothing happens. */
export function authTimedOut(state: SessionState): SessionStep {
  return state.phase === 'authenticated' ? { state, replies: [], end: false } : refuse(state, 404);
}

/** Whether a message of data is for this connection. Hot. */
export function wants({ subscribed }: SessionState, { T, S }: Pick<DataMessage, 'T' | 'S'>): boolean {
  const channel = CHANNEL_OF[T];
  const symbols = subscribed.get(channel === 'corrections' || channel === 'cancelErrors' ? 'trades' : channel);
  return symbols !== undefined && (symbols.has(S) || symbols.has(ALL));
}

/** The set in force, sorted. */
export function acknowledgement(subscribed: ChannelSymbols): SubscriptionMessage {
  const sorted = (channel: Channel): string[] => [...(subscribed.get(channel) ?? NOBODY)].sort();
  const follows = (channel: string): boolean => (FOLLOWING_CHANNELS as readonly string[]).includes(channel);
  const sets = ACK_CHANNELS.map((name) => [name, sorted(follows(name) ? 'trades' : (name as Channel))] as const);
  const imbalances = sorted('imbalances');
  return {
    T: 'subscription',
    ...(Object.fromEntries(sets) as Record<AckChannel, string[]>),
    ...(imbalances.length > 0 && { imbalances }),
  };
}

function authenticate(state: SessionState, credentials: Credentials, rules: SessionRules): SessionStep {
  if (state.phase === 'authenticated') return refuse(state, 403);
  const code = rules.admit(credentials);
  if (code !== null) return refuse(state, code);
  return { state: { ...state, phase: 'authenticated' }, replies: [AUTHENTICATED], end: false };
}

function refuse(state: SessionState, code: StreamErrorCode): SessionStep {
  return { state, replies: [errorMessage(code)], end: ENDING_ERRORS.has(code) };
}

function added(before: ChannelSymbols, more: ChannelSymbols): ChannelSymbols {
  const after = new Map(before);
  for (const [channel, symbols] of more) after.set(channel, new Set([...(before.get(channel) ?? NOBODY), ...symbols]));
  return after;
}

/** `*` takes all away, the symbols named one by one included. */
function removed(before: ChannelSymbols, less: ChannelSymbols): ChannelSymbols {
  const after = new Map(before);
  for (const [channel, symbols] of less) {
    const left = symbols.has(ALL) ? [] : [...(before.get(channel) ?? NOBODY)].filter((symbol) => !symbols.has(symbol));
    if (left.length > 0) after.set(channel, new Set(left));
    else after.delete(channel);
  }
  return after;
}

function symbolCount(subscribed: ChannelSymbols): number {
  const all = new Set([...subscribed.values()].flatMap((symbols) => [...symbols]));
  return all.has(ALL) ? Number.MAX_VALUE : all.size;
}
