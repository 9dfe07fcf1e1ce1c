import { ConfigError, parseConfig, readEnv } from '@candlewire/runtime';
import { storeConfig } from './config';
import { migrate } from './migrate';

async function main(): Promise<void> {
  const { DATABASE_URL } = parseConfig(storeConfig, readEnv(process.cwd(), process.env));
  if (DATABASE_URL === undefined) {
    throw new ConfigError(['DATABASE_URL: must be set, e.g. postgres://user:password@localhost:5432/candlewire']);
  }
  const names = await migrate(DATABASE_URL);
  process.stdout.write(names.length > 0 ? `migrated: ${names.join(', ')}\n` : 'nothing to migrate\n');
}

main().catch((err: unknown) => {
  process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
  process.exitCode = 1;
});
