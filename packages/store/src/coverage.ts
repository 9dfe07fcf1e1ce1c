import type { MarketStatus } from '@candlewire/contracts';
import { msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store, StoreIdentity } from './store';

const DESCRIBE: Statement = {
  name: 'describe_source',
  text: `
    insert into source_facts (statuses, has_history) values ($1, $2)
    on conflict (one) do update set statuses = excluded.statuses, has_history = excluded.has_history`,
};

const FACTS: Statement = {
  name: 'source_facts',
  text: 'select f.statuses, f.has_history, s.calendar from source_facts f, store s',
};

/** After the close of its day a minute is fetched again whoever vouched for it: nobody asks for stretches that are days old. */
const BEGIN_LIVE: Statement = {
  name: 'begin_live',
  text: `
    with old as (delete from live_sessions where beat_at < now() - interval '4 days')
    insert into live_sessions (begins, vouched_to) values ($1, $1) returning id`,
};

const VOUCH: Statement = {
  name: 'vouch',
  text: 'update live_sessions set vouched_to = greatest(vouched_to, $2), beat_at = now() where id = $1',
};

const JOIN_LIVE: Statement = {
  name: 'join_live',
  text: `
    insert into live_symbols (symbol, session, since) select symbol, $1, $3 from unnest($2::text[]) symbol
    on conflict (symbol, session, since) do update set until = null`,
};

const LEAVE_LIVE: Statement = {
  name: 'leave_live',
  text: `
    update live_symbols set until = greatest($3, since) where session = $1 and symbol = any ($2) and until is null`,
};

const MINUTES: Statement = {
  name: 'minutes',
  text: `
    select ${msOf('c.ts')} from candles c
    where c.symbol = $1 and c.interval = '1m' and c.ts >= $2 and c.ts < $3
    order by c.ts limit $4`,
};

type Coverage = Pick<Store, 'describeSource' | 'sourceFacts' | 'beginLive' | 'vouch' | 'liveSymbols' | 'minutes'>;

/** What the live stream vouches for. */
export function coverage(db: Database): Coverage {
  return {
    async describeSource({ statuses, hasHistory }) {
      await db.run(DESCRIBE, [statuses, hasHistory]);
    },

    async sourceFacts() {
      const [row] = await db.run<[MarketStatus[], boolean, StoreIdentity['calendar']]>(FACTS);
      return row ? { statuses: row[0], hasHistory: row[1], calendar: row[2] } : null;
    },

    async beginLive(from) {
      const [row] = await db.run<[number]>(BEGIN_LIVE, [from]);
      return row![0];
    },

    async vouch(session, vouchedTo) {
      await db.run(VOUCH, [session, vouchedTo]);
    },

    async liveSymbols(session, { added, since, removed, until }) {
      if (removed.length > 0) await db.run(LEAVE_LIVE, [session, removed, until]);
      if (added.length > 0) await db.run(JOIN_LIVE, [session, added, since]);
    },

    async minutes(symbol, { from, to }, limit) {
      const rows = await db.run<[number]>(MINUTES, [symbol, toTimestamp(from), toTimestamp(to), limit]);
      return rows.map(([openTime]) => openTime);
    },
  };
}
