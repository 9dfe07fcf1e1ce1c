import { msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store } from './store';

const ACTIVE: Statement = { name: 'active_symbols', text: 'select symbol from symbols where active order by symbol' };

/** The newest minute of each symbol is one probe of the candles' key. */
const HISTORY: Statement = {
  name: 'history',
  text: `
    select s.symbol, ${msOf('newest.ts')}, ${msOf('s.history_from')}
    from symbols s
    left join lateral (
      select c.ts from candles c
      where c.symbol = s.symbol and c.interval = '1m'
      order by c.ts desc limit 1
    ) newest on true
    where s.active and ($1::text[] is null or s.symbol = any ($1))
    order by s.symbol`,
};

/** A symbol that is asked for from an earlier time keeps the earlier one, whoever comes last. */
const SET_HISTORY: Statement = {
  name: 'set_history',
  text: `
    update symbols set history_from = least(history_from, $2::timestamptz)
    where symbol in (select symbol from symbols where symbol = any ($1) order by symbol for update)`,
};

const CONSUMED: Statement = { name: 'consumed', text: 'select journal_id, entry from partitions where p = $1' };

/** What has to be known to fetch from a source what is missing. */
export function fills(db: Database): Pick<Store, 'activeSymbols' | 'historyOf' | 'historyBegins' | 'consumed'> {
  return {
    async activeSymbols() {
      const rows = await db.run<[string]>(ACTIVE);
      return rows.map(([symbol]) => symbol);
    },

    async historyOf(only) {
      type Row = [symbol: string, lastOpenTime: number | null, historyFrom: number | null];
      const rows = await db.run<Row>(HISTORY, [only ?? null]);
      return rows.map(([symbol, lastOpenTime, historyFrom]) => ({ symbol, lastOpenTime, historyFrom }));
    },

    async historyBegins(symbols, from) {
      await db.run(SET_HISTORY, [symbols, toTimestamp(from)]);
    },

    async consumed(partition) {
      const [row] = await db.run<[journalId: string | null, entry: number]>(CONSUMED, [partition]);
      return row ? { id: row[0] ?? '', last: row[1] } : { id: '', last: 0 };
    },
  };
}
