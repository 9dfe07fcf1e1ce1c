import { CANDLE_JSON, msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store } from './store';

/** SQL: before it minutes of the series ($1, $2) are gone, whether or not they were deleted yet; null: all are there. */
const HORIZON = `(
  select partitions.horizon from series join partitions on partitions.p = series.p
  where series.symbol = $1 and series.interval = $2 and $2 = '1m'
)`;

/** SQL: the state of the series ($1, $2) that goes with candles of the same statement, hence of the same snapshot. */
const SERIES_STATE = `
  coalesce((select store.epoch from store where store.one), ''),
  coalesce((select series.seq from series where series.symbol = $1 and series.interval = $2), 0)`;
const FROM_HORIZON = `coalesce(${HORIZON}, '-infinity')`;

/** One candle more than the page is read, the `next`. Numbered in the direction of the walk, joined ascending. */
const pageOf = (walk: 'asc' | 'desc', join: 'asc' | 'desc') => `
  select ${SERIES_STATE},
    coalesce(string_agg(page.json, ',' order by page.n ${join}) filter (where page.n <= $5), ''),
    count(*) filter (where page.n <= $5),
    ${msOf('max(page.ts) filter (where page.n > $5)')}, ${msOf(HORIZON)}
  from (
    select ${CANDLE_JSON} as json, c.ts, row_number() over (order by c.ts ${walk}) as n
    from candles c
    where c.symbol = $1 and c.interval = $2 and c.ts >= greatest($3, ${FROM_HORIZON}) and c.ts <= $4
    order by c.ts ${walk} limit $5::int + 1
  ) page`;

export const PAGE = {
  back: { name: 'page_back', text: pageOf('desc', 'desc') },
  forward: { name: 'page_forward', text: pageOf('asc', 'asc') },
} satisfies Record<string, Statement>;

/** Candle texts hold no line break, so that one can part them: rows of their own cost Node three times as much. */
export const CHANGES: Statement = {
  name: 'changes',
  text: `
    select ${SERIES_STATE}, array_agg(page.seq::float8 order by page.seq), string_agg(page.json, E'\\n' order by page.seq)
    from (
      select c.seq, ${CANDLE_JSON} as json
      from candles c
      where c.symbol = $1 and c.interval = $2 and c.seq > $3 and c.ts >= ${FROM_HORIZON}
      order by c.seq limit $4
    ) page`,
};

const HEAD: Statement = {
  name: 'head',
  text: `select store.epoch, series.seq, ${msOf(HORIZON)} from series, store where series.symbol = $1 and series.interval = $2`,
};

/** In the order that was asked for; one that has no candles yet stands at 0. */
const HEADS: Statement = {
  name: 'heads',
  text: `
    select coalesce((select store.epoch from store where store.one), ''), array_agg(coalesce(series.seq, 0)::float8 order by wanted.n)
    from unnest($1::text[], $2::text[]) with ordinality wanted (symbol, interval, n)
    left join series on series.symbol = wanted.symbol and series.interval = wanted.interval`,
};

/** What gateways serve: JSON made in Postgres, so that the one event loop of a gateway only passes text on. */
export function reads(db: Database): Pick<Store, 'candles' | 'changes' | 'head' | 'heads'> {
  return {
    async candles({ symbol, interval, direction, from, to, limit }) {
      type Row = [
        epoch: string,
        seq: number,
        candlesJson: string,
        count: number,
        next: number | null,
        horizon: number | null,
      ];
      const values = [symbol, interval, toTimestamp(from ?? -Infinity), toTimestamp(to ?? Infinity), limit];
      const [row] = await db.run<Row>(PAGE[direction], values);
      const [epoch, seq, candlesJson, count, next, horizon] = row!;
      return { epoch, seq, candlesJson, count, next, horizon };
    },

    async changes({ symbol, interval, after, limit }) {
      type Row = [epoch: string, seq: number, seqs: number[] | null, candles: string | null];
      const [row] = await db.run<Row>(CHANGES, [symbol, interval, after, limit]);
      const [epoch, seq, seqs, candles] = row!;
      const texts = candles?.split('\n') ?? [];
      return { epoch, seq, changes: texts.map((candleJson, i) => ({ seq: seqs![i]!, candleJson })) };
    },

    async head(symbol, interval) {
      const [row] = await db.run<[epoch: string, seq: number, horizon: number | null]>(HEAD, [symbol, interval]);
      return row ? { epoch: row[0], seq: row[1], horizon: row[2] } : null;
    },

    async heads(wanted) {
      const values = [wanted.map(({ symbol }) => symbol), wanted.map(({ interval }) => interval)];
      const [row] = await db.run<[epoch: string, seqs: number[] | null]>(HEADS, values);
      const [epoch, seqs] = row!;
      return { epoch, seqs: seqs ?? [] };
    },
  };
}
