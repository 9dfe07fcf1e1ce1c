import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { redisPid, startRedis } from '@candlewire/embedded';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { PATIENCE_MS } from '../pipeline/harness';
import type { MortalServer } from '../pipeline/servers';

/** A Redis of a suite's own that keeps what it holds: when it is killed it comes back with all but its last second. */
export async function startKeptRedis(): Promise<MortalServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'candlewire-kept-'));
  const download = process.env.CANDLEWIRE_NO_DOWNLOAD !== '1';
  const server = await startRedis({ dataDir, download, logger: silentLogger });
  if ('missing' in server) throw new Error(server.missing);
  return {
    url: server.url,
    async kill() {
      const pid = redisPid(dataDir)!;
      process.kill(pid, 'SIGKILL');
      const isBack = () => ![null, pid].includes(redisPid(dataDir));
      await waitFor(isBack, { timeoutMs: PATIENCE_MS, what: 'Redis is back' });
    },
    async stop() {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
