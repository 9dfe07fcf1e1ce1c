import { parseSymbol } from '@candlewire/contracts';
import { ALL, CHANNELS, type Channel } from './messages';

/** Who a client says it is. Key `oauth` or `access_token`: the secret is a token. */
export interface Credentials {
  readonly key: string;
  readonly secret: string;
}

/** Symbols by channel, in upper case, each once; `*` among them stands for all. Channels that name none are left out. */
export type ChannelSymbols = ReadonlyMap<Channel, ReadonlySet<string>>;

export type ClientMessage =
  | { readonly action: 'auth'; readonly credentials: Credentials }
  | { readonly action: 'subscribe' | 'unsubscribe'; readonly channels: ChannelSymbols };

/**
 * What a client asks for, or null where it makes no sense (error 400): no object, no known action, a symbol that cannot
 * be one. Fields that nobody knows are passed over, and so are the channels that follow `trades`, which clients repeat
 * from what was acknowledged.
 */
export function parseClientMessage(value: unknown): ClientMessage | null {
  if (typeof value !== 'object' || value === null) return null;
  const message = value as Readonly<Record<string, unknown>>;
  const { action } = message;
  if (action === 'auth') {
    const { key, secret } = message;
    return typeof key === 'string' && typeof secret === 'string' ? { action, credentials: { key, secret } } : null;
  }
  if (action !== 'subscribe' && action !== 'unsubscribe') return null;
  const channels = channelsOf(message);
  return channels === null ? null : { action, channels };
}

function channelsOf(message: Readonly<Record<string, unknown>>): ChannelSymbols | null {
  const channels = new Map<Channel, ReadonlySet<string>>();
  for (const channel of CHANNELS) {
    const given = message[channel] ?? [];
    if (!Array.isArray(given)) return null;
    const symbols = new Set<string>();
    for (const text of given as unknown[]) {
      const symbol = text === ALL ? ALL : parseSymbol(text);
      if (symbol === null) return null;
      symbols.add(symbol);
    }
    if (symbols.size > 0) channels.set(channel, symbols);
  }
  return channels;
}
