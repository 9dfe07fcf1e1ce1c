/*
 * A container's health check: exit code 0 while an ingestor says how the source does, whatever that is. An ingestor has
 * no port to ask. The leader speaks for all: one that stands by is well as long as somebody leads, and where nobody does
 * for so long, none of those that wait is of any use.
 */
import { join } from 'node:path';
import { busConfig, connectBus } from '@candlewire/bus';
import { channelsOf, FEED_STATUS_STALE_MS, FeedStatus } from '@candlewire/contracts';
import { createLogger, parseConfig, readEnv } from '@candlewire/runtime';

const ROOT = join(__dirname, '../../..');

async function check(): Promise<string | null> {
  const shape = { REDIS_URL: busConfig.REDIS_URL.unwrap(), REDIS_PREFIX: busConfig.REDIS_PREFIX };
  const config = parseConfig(shape, readEnv(ROOT, process.env));
  const logger = createLogger('health', 'error');
  const bus = connectBus({ url: config.REDIS_URL, prefix: config.REDIS_PREFIX, logger });
  const text = await bus.kept(channelsOf(config.REDIS_PREFIX).feedStatus);
  if (text === null) return 'nothing was said of the source yet';
  const ageMs = Date.now() - Date.parse(FeedStatus.parse(JSON.parse(text)).updated_at);
  return ageMs < FEED_STATUS_STALE_MS ? null : `the last word of the source is ${ageMs} ms old`;
}

function end(problem: string | null): void {
  if (problem !== null) process.stderr.write(`${problem}\n`);
  process.exit(problem === null ? 0 : 1);
}

check().then(end, (err: Error) => end(err.message));
