import { partitionOf } from '@candlewire/contracts';
import { msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store } from './store';

/**
 * Minutes of a symbol that stay before the horizon, though nobody sees them: the newest of them may be the symbol's head,
 * and the first minute behind the horizon looks back on 160 closes and the averages of the row before it. With these at
 * hand its indicators are the same bits as if nothing had ever been deleted.
 */
const KEPT_MINUTES = 161;
/** Deleting is never urgent: whatever makes it wait, it comes again. */
const DELETE_TIMEOUT_MS = 5_000;

const MOVE: Statement = {
  name: 'horizon_move',
  text: `
    update partitions set horizon = greatest(horizon, $3::timestamptz)
    where p = $1 and fence = $2
    returning ${msOf('horizon')}`,
};

const KEPT_FROM: Statement = {
  name: 'kept_from',
  text: `select ${msOf('max(horizon)')} from partitions where p = any ($1)`,
};

const MINUTE_SYMBOLS: Statement = {
  name: 'minute_symbols',
  text: `select symbol from series where p = $1 and interval = '1m' order by symbol`,
};

/**
 * The fence is read and not locked: what lies behind a stored horizon may be deleted by anyone at any time, so a
 * statement of an owner that was just replaced does no harm either. A range of the key and no join: prepared while the
 * table was small, a join may go through all of it.
 */
const DELETE: Statement = {
  name: 'delete_minutes',
  text: `
    with edge as (
      select oldest.ts
      from partitions cross join lateral (
        select candles.ts from candles
        where candles.symbol = $3 and candles.interval = '1m' and candles.ts < partitions.horizon
        order by candles.ts desc offset ${KEPT_MINUTES - 1} limit 1
      ) oldest
      where partitions.p = $1 and partitions.fence = $2
    ), doomed as (
      select candles.ts from candles
      where candles.symbol = $3 and candles.interval = '1m' and candles.ts < (select edge.ts from edge) and candles.final
      order by candles.ts limit $4
    ), gone as (
      delete from candles
      where candles.symbol = $3 and candles.interval = '1m' and candles.ts <= (select max(doomed.ts) from doomed)
        and candles.final
      returning 1
    )
    select count(*) from gone`,
};

/** Minutes that are too old to be kept. */
export function retention(db: Database): Pick<Store, 'moveHorizon' | 'keptFrom' | 'minuteSymbols' | 'deleteMinutes'> {
  return {
    async moveHorizon(partition, fence, horizon) {
      const [row] = await db.run<[number]>(MOVE, [partition, fence, toTimestamp(horizon)]);
      return row ? row[0] : null;
    },

    async keptFrom(symbols) {
      const [row] = await db.run<[number | null]>(KEPT_FROM, [
        [...new Set(symbols.map((symbol) => partitionOf(symbol)))],
      ]);
      return row![0];
    },

    async minuteSymbols(partition) {
      const rows = await db.run<[string]>(MINUTE_SYMBOLS, [partition]);
      return rows.map(([symbol]) => symbol);
    },

    async deleteMinutes(partition, fence, symbol, limit) {
      const [row] = await db.run<[number]>(DELETE, [partition, fence, symbol, limit], DELETE_TIMEOUT_MS);
      return row![0];
    },
  };
}
