import { busConfig } from '@candlewire/bus';
import { ConfigError, type Env, parseConfig, runtimeConfig, whole } from '@candlewire/runtime';
import { storeConfig } from '@candlewire/store';
import { z } from 'zod';
import { trustOf } from './admission/caller-address';

/** Whose scripts may read the answers: everybody's, or those of pages from exactly these origins. */
export type CorsOrigins = '*' | readonly string[];

const ORIGINS_RULE = 'must be * or origins like https://example.com, separated by commas';
/** What a header can carry as it stands. */
const API_KEY = /^[\x21-\x2b\x2d-\x7e]{8,256}$/;
const API_KEYS_RULE = 'must be keys of 8 to 256 visible ASCII characters, separated by commas';
const TRUST_RULE =
  'must be addresses, ranges like 10.0.0.0/8, or loopback, linklocal, uniquelocal, separated by commas';

/** What the gateway alone reads. */
export const httpConfig = {
  /** 0: any port that is free. */
  PORT: whole(0, 65_535).default(8_000),
  HOST: z.string().default('127.0.0.1'),
  /** Left out: {@link corsOriginsOf}. */
  CORS_ORIGINS: z.string().transform(parseOrigins).optional(),
  /** None: nobody is asked for one. */
  API_KEYS: z.string().default('').transform(parseKeys),
  /** Calls a second of one key, or of one address that shows none. */
  HTTP_MAX_PER_S: whole(1, 1_000_000).default(500),
  /** Proxies whose X-Forwarded-For counts. */
  TRUST_PROXY: z.string().default('').transform(parseProxies),
};

/** Limits of WebSocket connections. */
export const wsConfig = {
  WS_MAX_MESSAGE_BYTES: whole(128, 16 * 1024 * 1024).default(16_384),
  WS_MAX_SUBSCRIPTIONS: whole(1, 100_000).default(500),
  WS_MAX_INBOUND_PER_S: whole(1, 100_000).default(20),
  WS_MAX_PER_IP: whole(1, 1_000_000).default(256),
  WS_MAX_CONNECTIONS: whole(1, 1_000_000).default(20_000),
  WS_AUTH_MS: whole(100, 600_000).default(10_000),
  WS_PING_MS: whole(100, 600_000).default(25_000),
  WS_QUEUE_SOFT_BYTES: whole(1_024, 1024 * 1024 * 1024).default(262_144),
  WS_QUEUE_HARD_BYTES: whole(1_024, 1024 * 1024 * 1024).default(1_048_576),
  WS_STALL_MS: whole(100, 600_000).default(10_000),
  WS_FLUSH_MS: whole(0, 10_000).default(0),
  /** At shutdown clients are sent away over so long. */
  WS_DRAIN_MS: whole(0, 600_000).default(5_000),
};

/** Everything that the gateway reads as a service of its own. */
export const gatewayConfig = {
  ...runtimeConfig,
  ...httpConfig,
  ...wsConfig,
  DATABASE_URL: storeConfig.DATABASE_URL.unwrap(),
  REDIS_URL: busConfig.REDIS_URL.unwrap(),
  REDIS_PREFIX: busConfig.REDIS_PREFIX,
};

/** Where keys are asked for, no page may use one unless it is named. */
export function corsOriginsOf(config: {
  readonly CORS_ORIGINS?: CorsOrigins | undefined;
  readonly API_KEYS: readonly string[];
}): CorsOrigins {
  return config.CORS_ORIGINS ?? (config.API_KEYS.length === 0 ? '*' : []);
}

/**
 * What only several variables together can get wrong.
 * @throws ConfigError
 */
export function checkTogether(env: Env): void {
  const { WS_QUEUE_SOFT_BYTES: soft, WS_QUEUE_HARD_BYTES: hard } = parseConfig(wsConfig, env);
  if (soft <= hard) return;
  throw new ConfigError([`WS_QUEUE_SOFT_BYTES: ${soft} must not be more than WS_QUEUE_HARD_BYTES (${hard})`]);
}

function parseOrigins(value: string, context: z.RefinementCtx): CorsOrigins {
  if (value === '*') return '*';
  const origins = partsOf(value);
  // An origin is compared letter by letter with what a browser sends: one that no browser sends is a mistake.
  if (origins.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin)) return origins;
  context.addIssue({ code: 'custom', message: ORIGINS_RULE });
  return z.NEVER;
}

function parseKeys(value: string, context: z.RefinementCtx): readonly string[] {
  if (value === '') return [];
  const keys = partsOf(value);
  // A comma too many is a mistake as well: a list of which nothing is left must not open the door.
  if (keys.every((key) => API_KEY.test(key))) return keys;
  context.addIssue({ code: 'custom', message: API_KEYS_RULE });
  return z.NEVER;
}

function parseProxies(value: string, context: z.RefinementCtx): readonly string[] {
  if (value === '') return [];
  const proxies = partsOf(value);
  try {
    trustOf(proxies);
    return proxies;
  } catch {
    context.addIssue({ code: 'custom', message: TRUST_RULE });
    return z.NEVER;
  }
}

function partsOf(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}
