import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { type Logger, silentLogger } from '@candlewire/runtime';
import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { connectStore, migrate, type Store, StoreUnavailable } from '.';

/** However busy the machine is. */
const PATIENCE_MS = 30_000;

/** A way to Postgres that can be cut, or fall silent like a server that hangs. */
class Wire {
  private readonly sockets = new Set<Socket>();
  private silent = false;
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async to(url: string): Promise<Wire> {
    const target = new URL(url);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const here = new URL(url);
    here.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
    const wire = new Wire(server, here.href);
    server.on('connection', (near) => {
      const far = dial(Number(target.port || 5432), target.hostname);
      for (const [from, into] of [
        [near, far],
        [far, near],
      ] as const) {
        wire.sockets.add(from);
        from.on('data', (bytes) => wire.silent || into.write(bytes));
        from.on('close', () => into.destroy());
        from.on('error', () => {});
      }
    });
    return wire;
  }

  hang(): void {
    this.silent = true;
  }
  cut(): void {
    this.silent = false;
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }
  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let database: TestDatabase;
let wire: Wire;
let store: Store;
let warnings: string[];

beforeEach(async () => {
  database = await testDatabase();
  await migrate(database.url);
  wire = await Wire.to(database.url);
  warnings = [];
  const logger: Logger = { ...silentLogger, warn: (event) => warnings.push(event) };
  store = connectStore({ url: wire.url, logger, poolMax: 2 });
});
afterEach(async () => {
  await store.close();
  await wire.close();
  await database.drop();
});

describe('a store whose Postgres', () => {
  it('answers is pinged with success', async () => {
    expect(await store.ping(PATIENCE_MS)).toBe(true);
  });

  it('hangs is pinged in vain within the time, and answers again when it is back', async () => {
    expect(await store.ping(PATIENCE_MS)).toBe(true);
    wire.hang();
    const began = Date.now();
    expect(await store.ping(100)).toBe(false);
    expect(await Promise.all(Array.from({ length: 20 }, () => store.ping(100)))).toEqual(Array(20).fill(false));
    // By itself a ping gives up after five seconds.
    expect(Date.now() - began).toBeLessThan(4_000);
    wire.cut();
    await waitFor(() => store.ping());
    expect(await store.identity()).toBeNull();
  });

  it('breaks off while idle says so in the log, and nothing else happens', async () => {
    await store.identity();
    wire.cut();
    await waitFor(() => warnings.includes('postgres connection lost'));
    expect(await store.identity()).toBeNull();
  });

  it('breaks off during a call throws what a caller may retry', async () => {
    await store.identity();
    wire.hang();
    const lost = store.identity();
    setImmediate(() => wire.cut());
    await expect(lost).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(lost).rejects.toMatchObject({ retryable: true, code: 'unavailable' });
    expect(await store.identity()).toBeNull();
  });

  it('ends the session by order of an administrator throws what a caller may retry', async () => {
    const waiting = connectStore({ url: database.url, logger: silentLogger });
    const holder = connectStore({ url: database.url, logger: silentLogger });
    await holder.declare({ source: 'replay', calendar: 'nyse', partitions: 1 });
    await holder.close();
    await waiting.identity();
    const { Client } = await import('pg');
    const admin = new Client({ connectionString: database.url });
    await admin.connect();
    await admin.query('begin; lock table partitions');
    const blocked = waiting.claim('a', 1_000, 1);
    await waitFor(async () => {
      const { rowCount } = await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rowCount === 1;
    });
    await expect(blocked).rejects.toBeInstanceOf(StoreUnavailable);
    await admin.end();
    expect(await waiting.claim('a', 1_000, 1)).toHaveLength(1);
    await waiting.close();
  });

  it('is not there throws the reason, without the password', async () => {
    const url = new URL(database.url);
    url.port = '1';
    url.password = 'hunter2';
    const nowhere = connectStore({ url: url.href, logger: silentLogger });
    const failed = await nowhere.identity().catch((err: unknown) => err);
    expect(failed).toBeInstanceOf(StoreUnavailable);
    expect((failed as Error).message).toContain('ECONNREFUSED');
    expect((failed as Error).message).not.toContain('hunter2');
    expect(await nowhere.ping()).toBe(false);
    await nowhere.close();
  });

  it('refuses for good throws its own error, which no caller should retry', async () => {
    const url = new URL(database.url);
    url.pathname = '/no_such_database';
    const wrong = connectStore({ url: url.href, logger: silentLogger });
    await expect(wrong.identity()).rejects.toMatchObject({ code: '3D000' });
    await wrong.close();
  });

  it('was closed stays closed, however often it is told', async () => {
    const closed = connectStore({ url: database.url, logger: silentLogger });
    await Promise.all([closed.close(), closed.close()]);
    await expect(closed.identity()).rejects.toThrow('after calling end');
    expect(await closed.ping()).toBe(false);
  });
});
