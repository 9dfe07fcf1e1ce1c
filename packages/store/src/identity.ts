import { randomBytes } from 'node:crypto';
import type { Database, Statement } from './connect';
import { type Store, type StoreIdentity, StoreMismatch } from './store';

const IDENTITY: Statement = {
  name: 'identity',
  text: 'select epoch, source, calendar, partitions from store where one',
};

/** The identity and the rows of its partitions come into being together, whoever is first. */
const DECLARE: Statement = {
  name: 'declare',
  text: `
    with made as (
      insert into store (epoch, source, calendar, partitions) values ($1, $2, $3, $4)
      on conflict do nothing
      returning partitions
    )
    insert into partitions (p) select generate_series(0, partitions - 1) from made`,
};

/** What the store is for its whole life. */
export function identities(db: Database): Pick<Store, 'identity' | 'declare'> {
  async function identity(): Promise<StoreIdentity | null> {
    const [row] = await db.run<[string, StoreIdentity['source'], StoreIdentity['calendar'], number]>(IDENTITY);
    if (!row) return null;
    const [epoch, source, calendar, partitions] = row;
    return { epoch, source, calendar, partitions };
  }

  return {
    identity,
    async declare({ source, calendar, partitions }) {
      await db.run(DECLARE, [randomBytes(8).toString('hex'), source, calendar, partitions]);
      const found = await identity();
      if (!found) throw new Error('the store lost its identity while it was declared');
      if (found.source !== source || found.calendar !== calendar || found.partitions !== partitions) {
        throw new StoreMismatch(
          `this store holds candles of source ${found.source} (calendar ${found.calendar}, ${found.partitions} partitions); ` +
            `SOURCE=${source} (calendar ${calendar}, ${partitions} partitions) needs another DATABASE_URL or DATA_DIR`,
        );
      }
      return found;
    },
  };
}
