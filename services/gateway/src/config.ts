import { busConfig } from '@candlewire/bus';
import { runtimeConfig, whole } from '@candlewire/runtime';
import { storeConfig } from '@candlewire/store';
import { z } from 'zod';

/** Whose scripts may read the answers: everybody's, or those of pages from exactly these origins. */
export type CorsOrigins = '*' | readonly string[];

const ORIGINS_RULE = 'must be * or origins like https://example.com, separated by commas';

/** What the gateway alone reads. */
export const httpConfig = {
  /** 0: any port that is free. */
  PORT: whole(0, 65_535).default(8_000),
  HOST: z.string().default('127.0.0.1'),
  CORS_ORIGINS: z.string().default('*').transform(parseOrigins),
};

/** Limits of WebSocket connections. */
export const wsConfig = {
  WS_MAX_MESSAGE_BYTES: whole(128, 16 * 1024 * 1024).default(16_384),
  WS_MAX_SUBSCRIPTIONS: whole(1, 100_000).default(500),
  WS_MAX_INBOUND_PER_S: whole(1, 100_000).default(20),
  WS_MAX_CONNECTIONS: whole(1, 1_000_000).default(20_000),
  WS_PING_MS: whole(100, 600_000).default(25_000),
  WS_QUEUE_HARD_BYTES: whole(1_024, 1024 * 1024 * 1024).default(1_048_576),
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

function parseOrigins(value: string, context: z.RefinementCtx): CorsOrigins {
  if (value === '*') return '*';
  const origins = value.split(',').map((origin) => origin.trim());
  // An origin is compared letter by letter with what a browser sends: one that no browser sends is a mistake.
  if (origins.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin)) return origins;
  context.addIssue({ code: 'custom', message: ORIGINS_RULE });
  return z.NEVER;
}
