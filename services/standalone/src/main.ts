import { resolve } from 'node:path';
import { createLogger, readEnv, runMain, runtimeConfig } from '@candlewire/runtime';
import { startStandalone } from './standalone';

const ROOT = resolve(__dirname, '../../..');

let logger = createLogger('standalone', 'info');

void runMain(
  () => logger,
  async () => {
    const env = readEnv(ROOT, process.env);
    // A level that is none is reported with whatever else is wrong.
    const level = runtimeConfig.LOG_LEVEL.catch('info').parse(env.LOG_LEVEL);
    logger = createLogger('standalone', level);
    return startStandalone({
      env: { ...env, DATA_DIR: resolve(ROOT, env.DATA_DIR?.trim() || 'data') },
      loggerOf: (part) => createLogger(part, level),
      print: (text) => process.stdout.write(text),
    });
  },
);
