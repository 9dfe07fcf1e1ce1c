import { type Knex, knex } from 'knex';
import { Client } from 'pg';
import { CONNECT_TIMEOUT_MS, storeError } from './connect';
import * as candles from './migrations/0001_candles';
import * as history from './migrations/0002_history';
import * as rebuilds from './migrations/0003_rebuilds';
import * as completeness from './migrations/0004_completeness';
import { StoreMismatch } from './store';

/** Numbered, in order, forward only; one that was released is never changed. */
const MIGRATIONS = [
  { name: '0001_candles', up: candles.up },
  { name: '0002_history', up: history.up },
  { name: '0003_rebuilds', up: rebuilds.up },
  { name: '0004_completeness', up: completeness.up },
] as const;
type Migration = (typeof MIGRATIONS)[number];

const source: Knex.MigrationSource<Migration> = {
  getMigrations: async () => [...MIGRATIONS],
  getMigrationName: (migration) => migration.name,
  getMigration: async ({ name, up }) => ({
    up,
    async down() {
      throw new Error(`migration ${name} has no way back`);
    },
  }),
};

/** Any number that nobody else locks in this database. */
const MIGRATION_LOCK = 1_667_329_132;
/** How long one process waits for the migrations of another. */
const MIGRATION_WAIT_MS = 300_000;

/**
 * Brings the database at `url` up to this program's schema. Every process may call it at its start, all at the same
 * moment: one does the work, the others wait for it. An advisory lock does that and not knex's own, which fails instead
 * of waiting and would stay behind with a process that was killed.
 *
 * @returns names of the migrations that it ran
 * @throws StoreUnavailable where Postgres cannot be reached
 * @throws StoreMismatch where the schema is newer than this program
 */
export async function migrate(url: string): Promise<string[]> {
  const lock = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // A connection that is lost while it only holds the lock: the next query says so.
  lock.on('error', () => {});
  try {
    await lock.connect();
    await lock.query(`set lock_timeout = ${MIGRATION_WAIT_MS}`);
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await runMigrations(url);
  } catch (err) {
    throw storeError(err);
  } finally {
    // Ends the lock as well. One that never connected may have nothing to end.
    await lock.end().catch(() => {});
  }
}

async function runMigrations(url: string): Promise<string[]> {
  const db = knex({
    client: 'pg',
    connection: { connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS } as Knex.PgConnectionConfig,
    pool: { min: 0, max: 2 },
    migrations: { migrationSource: source },
    // Failures are thrown as well; knex would print them in its own way.
    log: { warn() {}, error() {}, deprecate() {}, debug() {} },
  });
  try {
    const newer = (await appliedNames(db)).filter((name) => !MIGRATIONS.some((migration) => migration.name === name));
    if (newer.length > 0) {
      throw new StoreMismatch(
        `this store was made by a newer version of the program (${newer.join(', ')}): update the program`,
      );
    }
    const [, names] = (await db.migrate.latest()) as [number, string[]];
    return names;
  } finally {
    await db.destroy();
  }
}

/** Names of the migrations that the database has seen, none where it has seen no knex yet. */
async function appliedNames(db: Knex): Promise<string[]> {
  if (!(await db.schema.hasTable('knex_migrations'))) return [];
  const rows = await db<{ name: string }>('knex_migrations').select('name').orderBy('id');
  return rows.map((row) => row.name);
}
