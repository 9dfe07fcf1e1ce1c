/*
 * A container's health check: exit code 0 while an aggregator of this host lives in the store. An aggregator has no port
 * to ask, and one that hangs stops saying that it lives.
 */
import { resolve } from 'node:path';
import { createLogger, parseConfig, readEnv } from '@candlewire/runtime';
import { connectStore, storeConfig } from '@candlewire/store';
import { isOfThisHost } from './owner';

const ROOT = resolve(__dirname, '../../..');

async function check(): Promise<string | null> {
  const shape = { DATABASE_URL: storeConfig.DATABASE_URL.unwrap() };
  const config = parseConfig(shape, readEnv(ROOT, process.env));
  const store = connectStore({ url: config.DATABASE_URL, logger: createLogger('health', 'error'), poolMax: 1 });
  const owners = await store.owners();
  return owners.some(isOfThisHost) ? null : `none of ${owners.length} living owners is of this host`;
}

function end(problem: string | null): void {
  if (problem !== null) process.stderr.write(`${problem}\n`);
  process.exit(problem === null ? 0 : 1);
}

check().then(end, (err: Error) => end(err.message));
