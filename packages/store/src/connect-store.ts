import type { Logger } from '@candlewire/runtime';
import { answers } from './answers';
import { backfills } from './backfills';
import { commits } from './commit';
import { connectDatabase } from './connect';
import { coverage } from './coverage';
import { fills } from './fills';
import { identities } from './identity';
import { latest } from './latest';
import { ownership } from './ownership';
import { reads } from './reads';
import { rebuilds } from './rebuilds';
import { retention } from './retention';
import type { Store } from './store';
import { symbols } from './symbols';

const PING_TIMEOUT_MS = 1_000;

/**
 * The store in the Postgres (13 or newer) at `url`, whose schema {@link migrate} made. Connects at the first call; at most
 * `poolMax` connections (default 10), for which a call waits up to 5 s. Sessions must last: prepared statements and
 * settings do not survive a pooler in transaction mode.
 *
 * Every call throws {@link StoreUnavailable} where the same call may succeed later, and Postgres's own error where not.
 */
export function connectStore({
  url,
  logger,
  poolMax,
}: {
  url: string;
  logger: Logger;
  poolMax?: number | undefined;
}): Store {
  const db = connectDatabase(url, logger, poolMax);
  return {
    ...identities(db),
    ...ownership(db),
    ...answers(db),
    ...commits(db),
    ...reads(db),
    ...latest(db),
    ...symbols(db),
    ...fills(db),
    ...coverage(db),
    ...backfills(db),
    ...rebuilds(db),
    ...retention(db),
    ping: (timeoutMs = PING_TIMEOUT_MS) => db.ping(timeoutMs),
    close: () => db.close(),
  };
}
