import { accessSync, constants, lstatSync, mkdirSync, mkdtempSync, realpathSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/** Postgres refuses to run as root, and initdb wants a user that the system knows: root's servers run as `nobody`. */
export const NOBODY = { uid: 65534, gid: 65534 } as const;

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Folder for what can be fetched or made again (server binaries): `~/.cache/candlewire`, for root `/var/cache/candlewire`,
 * a folder in the temporary one where those cannot be written.
 */
export function cacheFolder(): string {
  const home = homedirOrNull();
  const wanted = isRoot() ? '/var/cache/candlewire' : home === null ? null : join(home, '.cache', 'candlewire');
  return firstUsable([wanted, join(tmpdir(), `candlewire-${ownUid()}`), `/tmp/candlewire-${ownUid()}`]);
}

/** Folder for clusters of root that must lie outside a DATA_DIR which their server's user cannot reach. */
export function clustersFolder(): string {
  return firstUsable(['/var/lib/candlewire', '/var/tmp/candlewire-0']);
}

/** A new folder that goes with its server; world-traversable where root's servers need that. */
export function temporaryFolder(): string {
  const parent = [tmpdir(), '/tmp'].find((path) => !isRoot() || anyoneReaches(path)) ?? tmpdir();
  return mkdtempSync(join(parent, 'candlewire-'));
}

/** Whether every user may pass through `path` and all above it. */
export function anyoneReaches(path: string): boolean {
  for (let at = realpathSync(path); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

function firstUsable(candidates: readonly (string | null)[]): string {
  for (const path of candidates) if (path !== null && isAbsolute(path) && makeOwn(path)) return path;
  throw new Error(`no folder can be written: tried ${candidates.filter((path) => path !== null).join(', ')}`);
}

/** Makes the folder; false where that fails or somebody else could put files into it. */
function makeOwn(path: string): boolean {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    accessSync(path, constants.W_OK | constants.X_OK);
    if (process.platform === 'win32') return true;
    const stat = lstatSync(path);
    return (
      stat.isDirectory() && stat.uid === ownUid() && (stat.mode & 0o022) === 0 && (!isRoot() || anyoneReaches(path))
    );
  } catch {
    return false;
  }
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

function homedirOrNull(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}
