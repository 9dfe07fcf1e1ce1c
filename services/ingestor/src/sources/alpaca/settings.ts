import { oneOf, url, whole } from '@candlewire/runtime';
import { z } from 'zod';

/** iex: one exchange, free; sip: the whole market; delayed_sip: the same 15 minutes late; test: one made-up symbol, day and night. */
export const FEEDS = ['iex', 'sip', 'delayed_sip', 'test'] as const;
export type Feed = (typeof FEEDS)[number];

/** The only symbol of the test feed. */
export const TEST_SYMBOLS = ['FAKEPACA'] as const;

const SYMBOLS_MAX = 100_000;
const LINGER_MAX_MS = 3_600_000;

const secret = z.string().regex(/^[\x21-\x7e]+$/, 'must be letters, digits and signs without blanks');
const rest = url('http:', 'https:').optional();

/** What the source reads from the environment; for most of it there are several names, of which the first counts. */
export const alpacaConfig = {
  ALPACA_API_KEY: secret.optional(),
  APCA_API_KEY_ID: secret.optional(),
  ALPACA_SECRET: secret.optional(),
  APCA_API_SECRET_KEY: secret.optional(),
  /** Left out: the one that the stream's address names, else iex. */
  ALPACA_FEED: oneOf(FEEDS).optional(),
  /** The endpoint's full address, or its origin. */
  ALPACA_STREAM_URL: url('ws:', 'wss:').optional(),
  /** Where the older SDKs look for it: they give an origin, and one of https. */
  APCA_API_STREAM_URL: url('ws:', 'wss:', 'http:', 'https:').optional(),
  /** Origin of market data; there are three names for it. */
  ALPACA_DATA_URL: rest,
  APCA_API_DATA_URL: rest,
  APCA_DATA_BASE_URL: rest,
  /** Origin of the trading host, in the second with its version's path. Nothing is asked of it. */
  ALPACA_BASE_URL: rest,
  APCA_API_BASE_URL: rest,
  ALPACA_ENDPOINT: rest,
  /** Symbols that the plan allows on a stream. */
  ALPACA_MAX_SYMBOLS: whole(1, SYMBOLS_MAX).default(30),
  /** Whether trades are subscribed too, for prices between the bars. */
  ALPACA_TRADES: oneOf(['on', 'off']).default('on'),
  /** So long after its last viewer a symbol that is not registered is still delivered. */
  DEMAND_LINGER_MS: whole(0, LINGER_MAX_MS).default(60_000),
};

export type AlpacaConfig = z.infer<z.ZodObject<typeof alpacaConfig>>;

export interface AlpacaSettings {
  readonly keyId: string;
  readonly secret: string;
  readonly feed: Feed;
  /** Of the endpoint. */
  readonly streamUrl: string;
  /** Origin. */
  readonly dataUrl: string;
  readonly symbolsMax: number;
  readonly trades: boolean;
}

const STREAM_ORIGIN = 'wss://stream.data.alpaca.markets';
const DATA_ORIGIN = 'https://data.alpaca.markets';
const FEED_DEFAULT: Feed = 'iex';

/** What is missing for SOURCE=alpaca or contradicts itself, by name. */
export function alpacaProblems(given: (name: string) => string | undefined): string[] {
  const missing = (name: string, other: string): string[] =>
    given(name) === undefined && given(other) === undefined ? [`${name}: must be set for SOURCE=alpaca`] : [];
  return [
    ...missing('ALPACA_API_KEY', 'APCA_API_KEY_ID'),
    ...missing('ALPACA_SECRET', 'APCA_API_SECRET_KEY'),
    ...contradiction(given),
  ];
}

/** Bars of one feed would be taken for those of another. */
function contradiction(given: (name: string) => string | undefined): string[] {
  const feed = FEEDS.find((one) => one === given('ALPACA_FEED'));
  const name = given('ALPACA_STREAM_URL') === undefined ? 'APCA_API_STREAM_URL' : 'ALPACA_STREAM_URL';
  const address = given(name);
  const named = address !== undefined && URL.canParse(address) ? feedNamedBy(address) : undefined;
  if (feed === undefined || named === undefined || feed === named) return [];
  return [`ALPACA_FEED: must be left out, or the feed that ${name} names`];
}

/** @param config one without {@link alpacaProblems} */
export function alpacaSettings(config: AlpacaConfig): AlpacaSettings {
  const address = config.ALPACA_STREAM_URL ?? config.APCA_API_STREAM_URL ?? STREAM_ORIGIN;
  const feed = config.ALPACA_FEED ?? feedNamedBy(address) ?? FEED_DEFAULT;
  return {
    keyId: (config.ALPACA_API_KEY ?? config.APCA_API_KEY_ID)!,
    secret: (config.ALPACA_SECRET ?? config.APCA_API_SECRET_KEY)!,
    feed,
    streamUrl: endpointOf(address, feed),
    dataUrl: new URL(config.ALPACA_DATA_URL ?? config.APCA_API_DATA_URL ?? config.APCA_DATA_BASE_URL ?? DATA_ORIGIN)
      .origin,
    symbolsMax: config.ALPACA_MAX_SYMBOLS,
    trades: config.ALPACA_TRADES === 'on',
  };
}

/** The feed of an endpoint's address, a proxy's path before it or not. */
function feedNamedBy(address: string): Feed | undefined {
  const named = /\/v2\/(\w+)\/?$/.exec(new URL(address).pathname)?.[1];
  return FEEDS.find((feed) => feed === named);
}

function endpointOf(given: string, feed: Feed): string {
  const address = new URL(given);
  address.protocol = address.protocol.replace('http', 'ws');
  if (address.pathname === '/') address.pathname = `/v2/${feed}`;
  return address.href;
}
