import { parseSymbol, SYMBOL_RULE } from '@candlewire/contracts';
import { ClientError, type Connection } from './connection';

/** All symbols. */
export const ALL = '*';

/** A message of a client: an object with a type; the rest is for whoever knows the type. */
export interface ClientMessage {
  readonly type: string;
  /** Whatever the client wants to see again in the answer. */
  readonly id?: unknown;
  readonly [field: string]: unknown;
}

type Handler = (message: ClientMessage) => void;

/** What every socket understands. */
const COMMON: Readonly<Record<string, (connection: Connection, message: ClientMessage) => void>> = {
  ping: (connection, { id }) => connection.send(JSON.stringify({ type: 'pong', id })),
};

/**
 * Calls the handler of each message's type. A {@link ClientError} that it throws is told to the client, with the
 * message's id.
 */
export function handleMessages(
  connection: Connection,
  handlers: Readonly<Record<string, Handler>> = {},
): (text: string) => void {
  const types = [...Object.keys(handlers), ...Object.keys(COMMON)].join(', ');
  return (text) => {
    let id: unknown;
    try {
      const message = parseMessage(text);
      id = message.id;
      const { type } = message;
      if (Object.hasOwn(handlers, type)) handlers[type]!(message);
      else if (Object.hasOwn(COMMON, type)) COMMON[type]!(connection, message);
      else throw new ClientError('invalid_parameter', `type: must be one of ${types}`);
    } catch (err) {
      if (!(err instanceof ClientError)) throw err;
      connection.sendError(err, id);
    }
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

/** Refuses what the full protocol allows and this version does not have. */
export function requirePrices({ channel = 'prices' }: ClientMessage): void {
  if (channel === 'prices') return;
  throw new ClientError(
    'invalid_parameter',
    channel === 'candles'
      ? 'channel: candles is not part of this version; use /ws/candles/{symbol}'
      : 'channel: must be prices',
  );
}
