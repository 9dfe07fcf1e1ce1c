import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { Client } from 'pg';

/** Keys removed at a time. */
const SCAN_COUNT = 1_000;

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** An empty database of its own on the run's Postgres; `drop()` closes whatever connections are left. */
export async function testDatabase(): Promise<TestDatabase> {
  const server = required('CANDLEWIRE_TEST_DATABASE_URL');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(server, `create database ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => execute(server, `drop database if exists ${name} with (force)`),
  };
}

export interface TestRedis {
  readonly url: string;
  /** For REDIS_PREFIX: nobody else uses keys or channels below it. */
  readonly prefix: string;
  /** Removes the keys below the prefix. */
  close(): Promise<void>;
}

/** A prefix of its own on the run's Redis; null where the run has none. */
export async function testRedis(): Promise<TestRedis | null> {
  const url = process.env.CANDLEWIRE_TEST_REDIS_URL;
  if (!url) return null;
  const prefix = `test:${randomBytes(8).toString('hex')}`;
  return { url, prefix, close: () => removeKeys(url, `${prefix}:*`) };
}

/**
 * `describe` for suites that need a Redis. Where there is none the suite is a named skip; with REQUIRE_REAL_SERVICES=1
 * it fails.
 */
export function describeWithRedis(name: string, suite: () => void): void {
  const why = process.env.CANDLEWIRE_TEST_NO_REDIS ?? 'no Redis';
  if (process.env.CANDLEWIRE_TEST_REDIS_URL) {
    describe(name, suite);
  } else if (process.env.REQUIRE_REAL_SERVICES === '1') {
    test(name, () => {
      throw new Error(`REQUIRE_REAL_SERVICES=1, but ${why}`);
    });
  } else {
    describe.skip(`${name} (skipped: ${why})`, suite);
  }
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests through jest's configuration in the root`);
  return value;
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function removeKeys(url: string, pattern: string): Promise<void> {
  const redis = new Redis(url, { retryStrategy: () => null });
  redis.on('error', () => {});
  try {
    for await (const keys of redis.scanStream({ match: pattern, count: SCAN_COUNT }) as AsyncIterable<string[]>) {
      if (keys.length > 0) await redis.unlink(...keys);
    }
  } finally {
    redis.disconnect();
  }
}
