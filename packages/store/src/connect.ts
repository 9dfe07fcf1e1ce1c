import type { Logger } from '@candlewire/runtime';
import { DatabaseError, Pool, type QueryArrayConfig, types } from 'pg';

export const CONNECT_TIMEOUT_MS = 5_000;
/** No statement of ours takes nearly as long: whatever does is stuck. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** Later than the server's own limit: only a server that says nothing at all gets here. */
const SILENCE_TIMEOUT_MS = 65_000;
/** A connection takes its prepared statements with it: it should outlast the quiet part of a minute. */
const IDLE_TIMEOUT_MS = 300_000;
const PING_TIMEOUT_MS = 5_000;
const POOL_MAX = 10;

/**
 * What every connection starts with. All statements are lookups by key and stay prepared for the life of a connection;
 * a plan that was made while the tables were empty would read them from end to end until the next analyze. So the only
 * plans left are those that stay right: nested loops over index scans.
 */
const SESSION = `
  set timezone = 'UTC';
  set statement_timeout = ${STATEMENT_TIMEOUT_MS};
  set plan_cache_mode = force_generic_plan;
  set enable_seqscan = off;
  set enable_bitmapscan = off;
  set enable_hashjoin = off;
  set enable_mergejoin = off;
  set jit = off`;

/** Postgres cannot be reached, or broke off: the same call may succeed later. A commit's outcome is unknown then. */
export class StoreUnavailable extends Error {
  readonly code = 'unavailable';
  readonly retryable = true;

  constructor(cause: unknown) {
    super(`Postgres is not available: ${reasonOf(cause)}`, { cause });
    this.name = 'StoreUnavailable';
  }
}

function reasonOf(cause: unknown): string {
  // A host with several addresses fails with an AggregateError, which has a code but no message.
  const { message, code } = cause as NodeJS.ErrnoException;
  return message || code || String(cause);
}

/**
 * SQLSTATEs that pass: lost connection (08), out of connections, memory or disk (53), operator intervention (57, which
 * holds shutdown, crash, starting up and the statement timeout), trouble of the system (58), deadlock (40), lock timeout
 * (55P03), and a server that only reads because another took over (25006).
 */
const PASSING = /^(08|40|53|57|58|55P03$|25006$)/;

/** What the connection itself fails with: errors of the system (ECONNREFUSED, EAI_AGAIN …), and pg's, which have no code. */
const LOST_CODE = /^(E[A-Z]+|EAI_AGAIN)$/;
const LOST_MESSAGE =
  /^(Connection terminated|Query read timeout|timeout e|Client was closed|Client has encountered a connection error)/;

/** `err` as the store throws it: {@link StoreUnavailable} for what may pass; the rest, bugs among it, stays as it is. */
export function storeError(err: unknown): unknown {
  const { code = '', message = '' } = err as NodeJS.ErrnoException;
  const passes = err instanceof DatabaseError ? PASSING.test(code) : LOST_CODE.test(code) || LOST_MESSAGE.test(message);
  return passes ? new StoreUnavailable(err) : err;
}

/** One statement, prepared once for each connection under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface Database {
  /**
   * Rows as arrays, cells in the order of the select list. bigint and float8[] arrive as numbers. With `timeoutMs` the server
   * gives the statement up by then.
   */
  run<Row extends unknown[]>(statement: Statement, values?: readonly unknown[], timeoutMs?: number): Promise<Row[]>;
  ping(timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}

const INT8 = 20;
const FLOAT8_ARRAY = 1022;

/** Every bigint of ours is a count, a number of a change or a time: far below 2^53. */
function parserOf(oid: number): (text: string) => unknown {
  if (oid === INT8) return Number;
  if (oid === FLOAT8_ARRAY) return (text) => JSON.parse(`[${text.slice(1, -1)}]`);
  return types.getTypeParser(oid) as (text: string) => unknown;
}

/** Connections are made as they are needed; nothing fails before the first statement. */
export function connectDatabase(url: string, logger: Logger, poolMax = POOL_MAX): Database {
  const pool = openPool(url, logger, { max: poolMax, query_timeout: SILENCE_TIMEOUT_MS });
  // A connection of its own: a pool whose connections are all at work is no lost Postgres.
  const pings = openPool(url, logger, { max: 1, query_timeout: PING_TIMEOUT_MS });
  let pinging: Promise<boolean> | null = null;
  let closing: Promise<unknown> | null = null;

  /** At most one at a time: a server that hangs must not collect them. */
  function pingOnce(): Promise<boolean> {
    pinging ??= pings
      .query('select 1')
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        pinging = null;
      });
    return pinging;
  }

  return {
    async run<Row extends unknown[]>(
      { name, text }: Statement,
      values: readonly unknown[] = [],
      timeoutMs: number | null = null,
    ) {
      const query = { name, text, values: [...values], rowMode: 'array' as const };
      try {
        if (timeoutMs !== null) return await runWithin<Row>(pool, query, timeoutMs);
        return (await pool.query<Row>(query)).rows;
      } catch (err) {
        throw storeError(err);
      }
    },

    async ping(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(() => resolve(false), timeoutMs);
      });
      const answer = await Promise.race([pingOnce(), late]);
      clearTimeout(timer);
      return answer;
    },

    async close() {
      closing ??= Promise.all([pool.end(), pings.end()]);
      await closing;
    },
  };
}

/** A limit can only be set for a transaction: of one statement, for work that nothing waits for. */
async function runWithin<Row extends unknown[]>(
  pool: Pool,
  query: QueryArrayConfig,
  timeoutMs: number,
): Promise<Row[]> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query(`begin; set local statement_timeout = ${timeoutMs}; set local lock_timeout = ${timeoutMs}`);
    const { rows } = await client.query<Row>(query);
    await client.query('commit');
    return rows;
  } catch (err) {
    failure = err as Error;
    throw err;
  } finally {
    // Its transaction, where one is left, ends with the connection.
    client.release(failure);
  }
}

function openPool(url: string, logger: Logger, limits: { max: number; query_timeout: number }): Pool {
  const pool = new Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'candlewire',
    types: { getTypeParser: parserOf as typeof types.getTypeParser },
    onConnect: (client) => client.query(SESSION).then(() => {}),
    ...limits,
  });
  // An idle connection that breaks is replaced by the next statement; unheard, the event would end the process.
  pool.on('error', (err) => logger.warn('postgres connection lost', { err }));
  return pool;
}
