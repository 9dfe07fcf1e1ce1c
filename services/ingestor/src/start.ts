import { connectBus } from '@candlewire/bus';
import { type Env, type Logger, loadCalendar, type Running } from '@candlewire/runtime';
import { connectStore, migrate } from '@candlewire/store';
import { parseIngestorConfig } from './config';
import { createIngestor } from './ingestor';
import { createReplaySource } from './sources/replay-source';
import { systemTime } from './time';

/**
 * Starts an ingestor from an environment. Returns at once: the store and the bus are waited for in the background, and
 * what cannot be helped (a store of another source) rejects `done`.
 * @throws ConfigError where the environment says something else than it must
 */
export async function startIngestor(env: Env, logger: Logger): Promise<Running> {
  const config = parseIngestorConfig(env);
  const source = createReplaySource({
    file: config.REPLAY_FILE!,
    speed: config.REPLAY_SPEED,
    graceMs: config.FINAL_GRACE_MS,
    calendar: loadCalendar('nyse', config.CALENDAR_FILE),
    time: systemTime,
    logger,
  });
  const bus = connectBus({ url: config.REDIS_URL, prefix: config.REDIS_PREFIX, logger });
  const store = connectStore({ url: config.DATABASE_URL, logger });
  const ingestor = createIngestor({
    source,
    bus,
    store,
    migrate: () => migrate(config.DATABASE_URL),
    prefix: config.REDIS_PREFIX,
    logger,
  });
  const stop = new AbortController();
  const done = ingestor.run(stop.signal);
  return {
    done,
    shutdown: [
      {
        name: 'stop the source',
        run: async () => {
          stop.abort();
          // Whether it failed is for whoever watches `done`.
          await done.catch(() => {});
        },
      },
      {
        name: 'close',
        run: async () => {
          await Promise.all([bus.close(), store.close()]);
        },
      },
    ],
  };
}
