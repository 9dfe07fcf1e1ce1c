import type { WireCandle } from '@candlewire/contracts';
import { CANDLE_JSON } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Latest, Store } from './store';

/**
 * Two probes of the candles' key for each symbol. A 1d candle begins at its New York midnight: those of dates before the
 * minute's begin before the midnight of the minute's date.
 */
export const LATEST: Statement = {
  name: 'latest',
  text: `
    select r.symbol, newest.json, reference.close
    from unnest($1::text[]) with ordinality as r(symbol, n)
    join lateral (
      select c.ts, ${CANDLE_JSON} as json from candles c
      where c.symbol = r.symbol and c.interval = '1m'
      order by c.ts desc limit 1
    ) newest on true
    left join lateral (
      select c.close from candles c
      where c.symbol = r.symbol and c.interval = '1d'
        and c.ts < (newest.ts at time zone 'America/New_York')::date::timestamp at time zone 'America/New_York'
      order by c.ts desc limit 1
    ) reference on true
    order by r.n`,
};

/** What prices are made of where nobody has just published one. */
export function latest(db: Database): Pick<Store, 'latest'> {
  return {
    async latest(symbols): Promise<Latest[]> {
      if (symbols.length === 0) return [];
      type Row = [symbol: string, candleJson: string, reference: number | null];
      const rows = await db.run<Row>(LATEST, [symbols]);
      return rows.map(([symbol, candleJson, reference]) => ({
        symbol,
        candle: JSON.parse(candleJson) as WireCandle,
        reference,
      }));
    },
  };
}
