import { INTERVALS, type Interval, parseSymbol, SYMBOL_RULE } from '@candlewire/contracts';
import { ClientError, type Connection } from './connection';

/** Rows of the snapshot of one series. */
const SNAPSHOT_MAX = 1_000;

/** All symbols. */
export const ALL = '*';

/** A message of a client: an object with a type; the rest is for whoever knows the type. */
export interface ClientMessage {
  readonly type: string;
  /** Whatever the client wants to see again in the answer. */
  readonly id?: unknown;
  readonly [field: string]: unknown;
}

/** One that returns a promise lets the client's next messages wait for it. */
type Handler = (message: ClientMessage) => void | Promise<void>;

/** Heard before any message gets here: whoever has not shown a key has nothing else to say. */
const AUTH = 'auth';
/** What every socket understands. */
const COMMON: Readonly<Record<string, (connection: Connection, message: ClientMessage) => void>> = {
  ping: (connection, { id }) => connection.send(JSON.stringify({ type: 'pong', id })),
};

/**
 * Calls the handler of each message's type, in the order of the messages. A {@link ClientError} that it throws is told to
 * the client, with the message's id; of those that fail otherwise `onFailure` hears.
 */
export function handleMessages(
  connection: Connection,
  handlers: Readonly<Record<string, Handler>>,
  onFailure: (err: unknown) => void,
): (text: string) => void {
  const types = [...Object.keys(handlers), ...Object.keys(COMMON), AUTH].join(', ');
  let underWay: Promise<void> | null = null;

  function handle(text: string): void | Promise<void> {
    let id: unknown;
    const failed = (err: unknown): void => {
      if (!(err instanceof ClientError)) throw err;
      connection.sendError(err, id);
    };
    try {
      const message = parseMessage(text);
      id = message.id;
      const { type } = message;
      if (Object.hasOwn(handlers, type)) return handlers[type]!(message)?.catch(failed);
      if (Object.hasOwn(COMMON, type)) return COMMON[type]!(connection, message);
      throw new ClientError('invalid_parameter', `type: must be one of ${types}`);
    } catch (err) {
      failed(err);
    }
  }

  /** Of a connection that has ended meanwhile nobody would give back what it takes. */
  function handleLater(text: string): void | Promise<void> {
    if (!connection.hasEnded) return handle(text);
  }

  return (text) => {
    // How many can wait here the inbound rate limits.
    const handled: void | Promise<void> = underWay === null ? handle(text) : underWay.then(() => handleLater(text));
    if (!handled) return;
    const waited = handled.catch(onFailure).finally(() => {
      if (underWay === waited) underWay = null;
    });
    underWay = waited;
  };
}

function parseMessage(text: string): ClientMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ClientError('invalid_message', 'message: must be JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ClientError('invalid_message', 'message: must be a JSON object');
  }
  const { type } = value as { type?: unknown };
  // Its id is still worth giving back.
  return { ...value, type: typeof type === 'string' ? type : '' };
}

/** The symbols that a message names, each once, raised; `*` among them is kept as it is. */
export function symbolsOf({ symbols }: ClientMessage): Set<string> {
  const rule = `symbols: must be a list of symbols (${SYMBOL_RULE}) or ["${ALL}"]`;
  if (!Array.isArray(symbols) || symbols.length === 0) throw new ClientError('invalid_parameter', rule);
  const named = new Set<string>();
  for (const given of symbols as unknown[]) {
    const symbol = given === ALL ? ALL : parseSymbol(given);
    if (symbol === null) throw new ClientError('invalid_parameter', rule);
    named.add(symbol);
  }
  return named;
}

export const WS_CHANNELS = ['prices', 'candles'] as const;
export type WsChannel = (typeof WS_CHANNELS)[number];

export function channelOf({ channel = 'prices' }: ClientMessage): WsChannel {
  const known = WS_CHANNELS.find((one) => one === channel);
  if (known === undefined) throw new ClientError('invalid_parameter', `channel: must be ${WS_CHANNELS.join(' or ')}`);
  return known;
}

/** The intervals that a message names, each once; 1m where it names none. */
export function intervalsOf({ intervals = ['1m'] }: ClientMessage): Interval[] {
  const rule = `intervals: must be a list of ${INTERVALS.join(', ')}`;
  if (!Array.isArray(intervals) || intervals.length === 0) throw new ClientError('invalid_parameter', rule);
  const named = new Set<Interval>();
  for (const given of intervals as unknown[]) {
    const interval = INTERVALS.find((one) => one === given);
    if (interval === undefined) throw new ClientError('invalid_parameter', rule);
    named.add(interval);
  }
  return [...named];
}

/** The rows of the snapshot that a message asks for; null where it does not say. */
export function snapshotOf({ snapshot }: ClientMessage): number | null {
  if (snapshot === undefined) return null;
  if (Number.isInteger(snapshot) && (snapshot as number) >= 0 && (snapshot as number) <= SNAPSHOT_MAX) {
    return snapshot as number;
  }
  throw new ClientError('invalid_parameter', `snapshot: must be a whole number from 0 to ${SNAPSHOT_MAX}`);
}

/** Where a client says that it stands; null where it does not say. */
export function sinceOf({ since }: ClientMessage): { readonly epoch: string; readonly seq: number } | null {
  if (since === undefined) return null;
  const { epoch, seq } = (since ?? {}) as { epoch?: unknown; seq?: unknown };
  if (typeof epoch === 'string' && Number.isSafeInteger(seq) && (seq as number) >= 0)
    return { epoch, seq: seq as number };
  throw new ClientError('invalid_parameter', 'since: must be {"epoch": text, "seq": whole number from 0 on}');
}
