import { randomUUID } from 'node:crypto';
import { msOf } from './candle-rows';
import type { Database, Statement } from './connect';
import { parseMultirange } from './spans';
import type { Store } from './store';

/** Unfinished ones; whoever asks for more has to wait. */
const UNFINISHED_MAX = 100;
/** So many are worked on at the same time. */
const OPEN_MAX = 10;

/** A row that another request makes at this moment is not seen yet: then there is no answer, and the next try finds it. */
const REQUEST: Statement = {
  name: 'request_backfill',
  text: `
    with old as (
      delete from backfills where finished_at < now() - interval '30 days'
    ), made as (
      insert into backfills (id, wanted, begins, ends)
      select $1, $2, $3, $4 where (select count(*) from backfills where finished_at is null) < ${UNFINISHED_MAX}
      on conflict (wanted) where finished_at is null do nothing
      returning id
    ), parts as (
      insert into backfill_parts (backfill, symbol) select made.id, symbol from made, unnest($5::text[]) symbol
    )
    select id from made
    union all
    select id from backfills where wanted = $2 and finished_at is null`,
};

const OPEN: Statement = {
  name: 'open_backfills',
  text: `
    select b.id, b.begins, b.ends, (
      select json_agg(json_build_array(p.symbol, p.done::text, p.jobs_total, p.reason, (
        select range_agg(int8range(f.begins, f.ends))::text from fills f where f.backfill = b.id and f.symbol = p.symbol
      )) order by p.symbol)
      from backfill_parts p where p.backfill = b.id
    )
    from backfills b where b.finished_at is null order by b.requested_at limit ${OPEN_MAX}`,
};

const PLAN: Statement = {
  name: 'plan_backfill',
  text: 'update backfill_parts set jobs_total = $2 where backfill = $1 and jobs_total is null',
};

const FINISH: Statement = {
  name: 'finish_backfill',
  text: 'update backfills set finished_at = now(), reason = $2 where id = $1 and finished_at is null',
};

const REPORT: Statement = {
  name: 'backfill',
  text: `
    select b.begins, b.ends, ${msOf('b.requested_at')}, ${msOf('b.finished_at')}, b.reason, (
      select json_agg(json_build_array(
        p.symbol, p.jobs_done, p.jobs_total, p.bars + coalesce(f.bars, 0), coalesce(f.running, 0), p.reason is not null,
        coalesce(p.reason, f.reason)
      ) order by p.symbol)
      from backfill_parts p
      left join lateral (
        select sum(bars)::bigint as bars, count(*) filter (where state = 'running') as running, max(reason) as reason
        from fills where backfill = b.id and symbol = p.symbol
      ) f on true
      where p.backfill = b.id
    )
    from backfills b where b.id = $1`,
};

type Backfills = Pick<Store, 'requestBackfill' | 'backfill' | 'openBackfills' | 'planBackfill' | 'finishBackfill'>;

/** What somebody asked to be fetched. */
export function backfills(db: Database): Backfills {
  return {
    async requestBackfill(wanted, symbols, { from, to }) {
      const values = [randomUUID().slice(0, 13), wanted, from, to, symbols];
      for (let tries = 0; tries < 2; tries++) {
        const [row] = await db.run<[string]>(REQUEST, values);
        if (row) return row[0];
      }
      return null;
    },

    async openBackfills() {
      type Part = [
        symbol: string,
        done: string,
        jobsTotal: number | null,
        reason: string | null,
        pending: string | null,
      ];
      const rows = await db.run<[id: string, from: number, to: number, parts: Part[] | null]>(OPEN);
      return rows.map(([id, from, to, parts]) => ({
        id,
        from,
        to,
        parts: (parts ?? []).map(([symbol, done, jobsTotal, reason, pending]) => ({
          symbol,
          done: parseMultirange(done),
          pending: parseMultirange(pending),
          jobsTotal,
          reason,
        })),
      }));
    },

    async planBackfill(id, jobs) {
      await db.run(PLAN, [id, jobs]);
    },

    async finishBackfill(id, reason) {
      await db.run(FINISH, [id, reason]);
    },

    async backfill(id) {
      type Part = [
        symbol: string,
        jobsDone: number,
        jobsTotal: number | null,
        bars: number,
        running: number,
        failed: boolean,
        reason: string | null,
      ];
      type Row = [
        from: number,
        to: number,
        requestedAt: number,
        finishedAt: number | null,
        reason: string | null,
        parts: Part[] | null,
      ];
      const [row] = await db.run<Row>(REPORT, [id]);
      if (!row) return null;
      const [from, to, requestedAt, finishedAt, reason, parts] = row;
      return {
        id,
        from,
        to,
        requestedAt,
        finishedAt,
        reason,
        parts: (parts ?? []).map(([symbol, jobsDone, jobsTotal, bars, running, failed, why]) => ({
          symbol,
          jobsDone,
          jobsTotal,
          bars,
          running,
          failed,
          reason: why,
        })),
      };
    },
  };
}
