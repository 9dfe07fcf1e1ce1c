import { partitionOf } from '@candlewire/contracts';
import { msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import { parseMultirange } from './spans';
import type { FillKey, FillState, LiveStretch, Store } from './store';

const ACTIVE: Statement = { name: 'active_symbols', text: 'select symbol from symbols where active order by symbol' };

/** Longer than some heartbeats: a stretch that was not heard of for so long is over. */
const LIVE_STALE = "interval '30 seconds'";

/** The newest minute of each symbol is one probe of the candles' key. */
const HISTORY: Statement = {
  name: 'history',
  text: `
    select s.symbol, ${msOf('newest.ts')}, ${msOf('s.history_from')}, v.answered::text, v.settled::text,
      (
        select json_agg(json_build_array(
          l.session, l.since, least(l.until, n.vouched_to),
          l.until is null and n.beat_at > now() - ${LIVE_STALE} and n.id = (select max(id) from live_sessions)
        ) order by l.session, l.since)
        from live_symbols l join live_sessions n on n.id = l.session
        where l.symbol = s.symbol
      ),
      (
        select json_agg(json_build_array(f.begins, f.ends, f.state, f.reason) order by f.begins)
        from fills f where f.symbol = s.symbol and f.backfill = ''
      )
    from symbols s
    left join coverage v on v.symbol = s.symbol
    left join lateral (
      select c.ts from candles c
      where c.symbol = s.symbol and c.interval = '1m'
      order by c.ts desc limit 1
    ) newest on true
    where s.active and ($1::text[] is null or s.symbol = any ($1))
    order by s.symbol`,
};

const HORIZONS: Statement = {
  name: 'horizons',
  text: `select ${msOf('horizon')} from partitions order by p`,
};

/** A symbol that is asked for from an earlier time keeps the earlier one, whoever comes last. */
const SET_HISTORY: Statement = {
  name: 'set_history',
  text: `
    update symbols set history_from = least(history_from, $2::timestamptz)
    where symbol in (select symbol from symbols where symbol = any ($1) order by symbol for update)`,
};

const CONSUMED: Statement = { name: 'consumed', text: 'select journal_id, entry from partitions where p = $1' };
const ALL_CONSUMED: Statement = { name: 'all_consumed', text: 'select journal_id, entry from partitions order by p' };

const ADD: Statement = {
  name: 'add_fills',
  text: `
    insert into fills (symbol, begins, ends, backfill, priority)
    select symbol, "from", "to", backfill, priority
    from json_to_recordset($1) as r(symbol text, "from" bigint, "to" bigint, backfill text, priority integer)
    order by symbol collate "C", "from", "to", backfill
    on conflict do nothing`,
};

const TAKE_UP: Statement = {
  name: 'take_up_fills',
  text: `
    with taken as (
      update fills set state = 'queued', reason = case when state = 'failed' then null else reason end
      returning symbol, begins, ends, backfill, priority
    )
    select * from taken order by priority`,
};

const PENDING: Statement = {
  name: 'pending_fills',
  text: `
    select count(*) filter (where backfill = ''), count(*) filter (where backfill <> '')
    from fills where state <> 'failed'`,
};

const KEY = 'symbol = $1 and begins = $2 and ends = $3 and backfill = $4';

const NOTE: Statement = {
  name: 'note_fill',
  text: `update fills set state = $5, reason = $6, bars = bars + $7 where ${KEY}`,
};

/** Ranges merge where they touch, whoever comes first. */
const ANSWERED: Statement = {
  name: 'answered',
  text: `
    insert into coverage (symbol, answered, settled)
    values ($1, int8multirange(int8range($2, $3)), int8multirange(int8range($2, $4)))
    on conflict (symbol) do update
    set answered = coverage.answered + excluded.answered, settled = coverage.settled + excluded.settled`,
};

/** What failed without having been asked for stays, so that it is seen, and not planned again at once. */
const END: Statement = {
  name: 'end_fill',
  text: `
    with kept as (
      update fills set state = 'failed', reason = $5 where ${KEY} and backfill = '' and $5::text is not null
    ), gone as (
      delete from fills where ${KEY} and (backfill <> '' or $5::text is null) returning bars
    )
    update backfill_parts
    set done = done + int8multirange(int8range($2, $3)), jobs_done = jobs_done + 1, bars = backfill_parts.bars + gone.bars,
      reason = coalesce($5, reason)
    from gone
    where backfill = $4 and symbol = $1`,
};

const keyOf = ({ symbol, from, to, backfill }: FillKey) => [symbol, from, to, backfill];

type Fills = Pick<
  Store,
  | 'activeSymbols'
  | 'historyOf'
  | 'historyBegins'
  | 'consumed'
  | 'allConsumed'
  | 'addFills'
  | 'takeUpFills'
  | 'pendingFills'
  | 'noteFill'
  | 'answered'
  | 'endFill'
>;

/** What has to be known to fetch from a source what is missing, and how far that has come. */
export function fills(db: Database): Fills {
  return {
    async activeSymbols() {
      const rows = await db.run<[string]>(ACTIVE);
      return rows.map(([symbol]) => symbol);
    },

    async historyOf(only) {
      type Row = [
        symbol: string,
        lastOpenTime: number | null,
        historyFrom: number | null,
        answered: string | null,
        settled: string | null,
        live: [session: number, from: number, to: number, goesOn: boolean][] | null,
        pending: [from: number, to: number, state: FillState, reason: string | null][] | null,
      ];
      const [rows, horizons] = await Promise.all([
        db.run<Row>(HISTORY, [only ?? null]),
        db.run<[horizon: number | null]>(HORIZONS),
      ]);
      return rows.map(([symbol, lastOpenTime, historyFrom, answered, settled, live, pending]) => ({
        symbol,
        lastOpenTime,
        historyFrom,
        horizon: horizons[partitionOf(symbol, horizons.length)]?.[0] ?? null,
        answered: parseMultirange(answered),
        settled: parseMultirange(settled),
        live: (live ?? []).map(([session, from, to, goesOn]): LiveStretch => ({ session, from, to, goesOn })),
        pending: (pending ?? []).map(([from, to, state, reason]) => ({ from, to, state, reason })),
      }));
    },

    async historyBegins(symbols, from) {
      await db.run(SET_HISTORY, [symbols, toTimestamp(from)]);
    },

    async consumed(partition) {
      const [row] = await db.run<Position>(CONSUMED, [partition]);
      return row ? positionOf(row) : { id: '', last: 0 };
    },

    async allConsumed() {
      return (await db.run<Position>(ALL_CONSUMED)).map(positionOf);
    },

    async addFills(fills) {
      if (fills.length > 0) await db.run(ADD, [JSON.stringify(fills)]);
    },

    async takeUpFills() {
      type Row = [symbol: string, from: number, to: number, backfill: string, priority: number];
      const rows = await db.run<Row>(TAKE_UP);
      return rows.map(([symbol, from, to, backfill, priority]) => ({ symbol, from, to, backfill, priority }));
    },

    async pendingFills() {
      const [row] = await db.run<[planned: number, asked: number]>(PENDING);
      return { planned: row![0], asked: row![1] };
    },

    async noteFill(fill, { state, reason, bars }) {
      await db.run(NOTE, [...keyOf(fill), state, reason, bars]);
    },

    async answered({ symbol, from }: FillKey, to, settledTo) {
      if (to > from) await db.run(ANSWERED, [symbol, from, to, Math.max(from, Math.min(settledTo, to))]);
    },

    async endFill(fill, reason) {
      await db.run(END, [...keyOf(fill), reason]);
    },
  };
}

type Position = [journalId: string | null, entry: number];
const positionOf = ([id, last]: Position) => ({ id: id ?? '', last });
