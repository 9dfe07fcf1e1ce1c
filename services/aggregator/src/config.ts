import { busConfig } from '@candlewire/bus';
import { metricsConfig, runtimeConfig, whole } from '@candlewire/runtime';
import { storeConfig } from '@candlewire/store';

export const aggregatorConfig = {
  ...runtimeConfig,
  ...metricsConfig,
  DATABASE_URL: storeConfig.DATABASE_URL.unwrap(),
  REDIS_URL: busConfig.REDIS_URL.unwrap(),
  REDIS_PREFIX: busConfig.REDIS_PREFIX,
  /** How long after its end a candle waits for updates of its last minute before it is final. */
  FINAL_GRACE_MS: whole(0, 3_600_000).default(35_000),
  /** Days before the current one whose minutes are kept; unset: all. Two at least, since corrections come a day later. */
  RETENTION_1M: whole(2, 36_500).optional(),
};
