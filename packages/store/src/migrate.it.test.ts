import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { Client } from 'pg';
import { migrate, StoreMismatch, StoreUnavailable } from '.';

let database: TestDatabase;
let client: Client;

beforeEach(async () => {
  database = await testDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
});

afterEach(async () => {
  await client.end();
  await database.drop();
});

const tables = async () => {
  const { rows } = await client.query<{ tablename: string }>(
    `select tablename from pg_tables where schemaname = 'public' and tablename not like 'knex%' order by 1`,
  );
  return rows.map((row) => row.tablename);
};

describe('migrate', () => {
  it('makes the schema once when five start at the same moment on an empty database', async () => {
    const runs = await Promise.all(Array.from({ length: 5 }, () => migrate(database.url)));
    expect(runs.flat()).toEqual(['0001_candles', '0002_history', '0003_rebuilds', '0004_completeness']);
    expect(await tables()).toEqual(
      expect.arrayContaining(['candles', 'owners', 'partitions', 'rebuilds', 'series', 'store', 'symbols']),
    );
  });

  it('changes nothing on a database that is up to date', async () => {
    await migrate(database.url);
    await client.query(`insert into symbols (symbol) values ('AAPL')`);
    expect(await migrate(database.url)).toEqual([]);
    expect((await client.query('select symbol from symbols')).rows).toEqual([{ symbol: 'AAPL' }]);
  });

  it('brings a database of the first schema up to date and keeps what it holds', async () => {
    await migrate(database.url);
    await client.query(`
      alter table symbols drop column history_from;
      delete from knex_migrations where name = '0002_history';
      insert into symbols (symbol, name) values ('AAPL', 'Apple')`);
    expect(await migrate(database.url)).toEqual(['0002_history']);
    expect((await client.query('select symbol, name, active, history_from from symbols')).rows).toEqual([
      { symbol: 'AAPL', name: 'Apple', active: true, history_from: null },
    ]);
  });

  it('waits for whoever migrates, and goes on when that one is gone', async () => {
    const first = new Client({ connectionString: database.url });
    await first.connect();
    await first.query('select pg_advisory_lock(1667329132)');
    let done = false;
    const second = migrate(database.url).finally(() => {
      done = true;
    });
    await waitFor(async () => {
      const { rows } = await client.query(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`,
      );
      return rows.length === 1;
    });
    expect(done).toBe(false);
    await first.end();
    expect(await second).toEqual(['0001_candles', '0002_history', '0003_rebuilds', '0004_completeness']);
  });

  it('leaves no connection behind', async () => {
    await migrate(database.url);
    await waitFor(async () => {
      const { rows } = await client.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where datname = current_database()`,
      );
      return rows[0]!.n === 1;
    });
  });

  it('refuses a schema that is newer than the program, by name', async () => {
    await migrate(database.url);
    await client.query(`insert into knex_migrations (name, batch, migration_time) values ('0999_future', 9, now())`);
    const run = migrate(database.url);
    await expect(run).rejects.toBeInstanceOf(StoreMismatch);
    await expect(run).rejects.toThrow('made by a newer version of the program (0999_future)');
  });

  it('says that Postgres is not available where nobody listens', async () => {
    const url = new URL(database.url);
    url.port = '1';
    const run = migrate(url.href);
    await expect(run).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(run).rejects.toThrow('ECONNREFUSED');
  });
});
