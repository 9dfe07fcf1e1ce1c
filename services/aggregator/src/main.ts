import { resolve } from 'node:path';
import { createLogger, type Logger, readEnv, runMain } from '@candlewire/runtime';
import { startAggregator } from './index';

const ROOT = resolve(__dirname, '../../..');
let logger: Logger = createLogger('aggregator', 'info');

void runMain(
  () => logger,
  async () => {
    const env = readEnv(ROOT, process.env);
    logger = createLogger('aggregator', env.LOG_LEVEL || 'info');
    return startAggregator(env, logger);
  },
);
