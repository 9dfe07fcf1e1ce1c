import { join } from 'node:path';
import { createLogger, readEnv, runMain, runtimeConfig } from '@candlewire/runtime';
import { startGateway } from './start';

const ROOT = join(__dirname, '..', '..', '..');

let logger = createLogger('gateway', 'info');

void runMain(
  () => logger,
  async () => {
    const env = readEnv(ROOT, process.env);
    // A level that is none is reported with whatever else is wrong.
    logger = createLogger('gateway', runtimeConfig.LOG_LEVEL.catch('info').parse(env.LOG_LEVEL));
    return startGateway(env, logger);
  },
);
