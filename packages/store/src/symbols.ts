import { toIso } from '@candlewire/contracts';
import { msOf } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store } from './store';

/** The newest minute of each symbol is one probe of the candles' key. */
const SYMBOLS: Statement = {
  name: 'symbols',
  text: `
    select s.symbol, s.name, s.active, newest.close, ${msOf('newest.ts')}
    from symbols s
    left join lateral (
      select c.close, c.ts from candles c
      where c.symbol = s.symbol and c.interval = '1m'
      order by c.ts desc limit 1
    ) newest on true
    where $1::text is null or s.symbol = $1
    order by s.symbol`,
};

const KNOWS: Statement = { name: 'knows_symbol', text: 'select exists (select from symbols where symbol = $1)' };

/** A row that the insert made carries no xmax; one that it met carries the lock that the update took. */
const REGISTER: Statement = {
  name: 'register',
  text: `
    with wanted as (
      select symbol, max(name) as name from json_to_recordset($1) as r(symbol text, name text) group by symbol
    ), registered as (
      insert into symbols (symbol, name)
      select symbol, name from wanted order by symbol collate "C"
      on conflict (symbol) do update set active = true, name = coalesce(excluded.name, symbols.name)
      returning symbol, xmax = 0 as made
    )
    select symbol from registered where made order by symbol`,
};

const DEACTIVATE: Statement = {
  name: 'deactivate',
  text: 'update symbols set active = false where symbol = $1 returning symbol',
};

type Symbols = Pick<Store, 'symbols' | 'knowsSymbol' | 'register' | 'deactivate'>;

/** Which symbols there are, and which of them are delivered. */
export function symbols(db: Database): Symbols {
  return {
    async symbols(only) {
      type Row = [symbol: string, name: string | null, active: boolean, close: number | null, openTime: number | null];
      const rows = await db.run<Row>(SYMBOLS, [only ?? null]);
      return rows.map(([symbol, name, active, close, openTime]) => ({
        symbol,
        name,
        active,
        last_price: close,
        last_timestamp: openTime === null ? null : toIso(openTime),
      }));
    },

    async knowsSymbol(symbol) {
      const [row] = await db.run<[boolean]>(KNOWS, [symbol]);
      return row![0];
    },

    async register(wanted) {
      const rows = await db.run<[string]>(REGISTER, [JSON.stringify(wanted)]);
      return rows.map(([symbol]) => symbol);
    },

    async deactivate(symbol) {
      const rows = await db.run<[string]>(DEACTIVATE, [symbol]);
      return rows.length > 0;
    },
  };
}
