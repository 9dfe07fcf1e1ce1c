import { join } from 'node:path';
import { createLogger, readEnv, runMain, runtimeConfig } from '@candlewire/runtime';
import { startIngestor } from './start';

const ROOT = join(__dirname, '../../..');

let logger = createLogger('ingestor', 'info');
void runMain(
  () => logger,
  async () => {
    const env = readEnv(ROOT, process.env);
    // A wrong level is reported with everything else that is wrong.
    logger = createLogger('ingestor', runtimeConfig.LOG_LEVEL.catch('info').parse(env.LOG_LEVEL || undefined));
    return startIngestor(env, logger);
  },
);
