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
const stream = url('ws:', 'wss:').optional();
const rest = url('http:', 'https:').optional();

/** What the source reads from the environment; for most of it there are two names, of which the first counts. */
export const alpacaConfig = {
  ALPACA_API_KEY: secret.optional(),
  APCA_API_KEY_ID: secret.optional(),
  ALPACA_SECRET: secret.optional(),
  APCA_API_SECRET_KEY: secret.optional(),
  ALPACA_FEED: oneOf(FEEDS).default('iex'),
  /** The endpoint's full address, or its origin. */
  ALPACA_STREAM_URL: stream,
  /** Origin of market data. */
  ALPACA_DATA_URL: rest,
  APCA_API_DATA_URL: rest,
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

/** What is missing for SOURCE=alpaca, by name. */
export function alpacaProblems(given: (name: string) => string | undefined): string[] {
  const missing = (name: string, other: string): string[] =>
    given(name) === undefined && given(other) === undefined ? [`${name}: must be set for SOURCE=alpaca`] : [];
  return [...missing('ALPACA_API_KEY', 'APCA_API_KEY_ID'), ...missing('ALPACA_SECRET', 'APCA_API_SECRET_KEY')];
}

/** @param config one without {@link alpacaProblems} */
export function alpacaSettings(config: AlpacaConfig): AlpacaSettings {
  const { ALPACA_FEED: feed } = config;
  return {
    keyId: (config.ALPACA_API_KEY ?? config.APCA_API_KEY_ID)!,
    secret: (config.ALPACA_SECRET ?? config.APCA_API_SECRET_KEY)!,
    feed,
    streamUrl: endpointOf(config.ALPACA_STREAM_URL ?? STREAM_ORIGIN, feed),
    dataUrl: new URL(config.ALPACA_DATA_URL ?? config.APCA_API_DATA_URL ?? DATA_ORIGIN).origin,
    symbolsMax: config.ALPACA_MAX_SYMBOLS,
    trades: config.ALPACA_TRADES === 'on',
  };
}

function endpointOf(given: string, feed: Feed): string {
  const address = new URL(given);
  if (address.pathname === '/') address.pathname = `/v2/${feed}`;
  return address.href;
}
