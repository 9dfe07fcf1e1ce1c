import { PARTITIONS, partitionOf, type RebuildOrder } from '@candlewire/contracts';
import { msOf, toTimestamp } from './candle-rows';
import { COMMIT_PARTS, encodeChanges } from './commit';
import type { Database, Statement } from './connect';
import type { RebuildPart, Store } from './store';

/** Rebuilds that wait or run; more are refused. */
const WAITING_MAX = 100;
/** Reports are forgotten after so long. */
const KEPT = '90 days';
/** An order that nobody has taken by then may have been lost with its journal. */
const RELAY_AGAIN = '30 seconds';
const RELAYED_AT_ONCE = 10;
/** Differences that one report lists. */
const LISTED_MAX = 1_000;

const NOT_TAKEN = (rebuild: string) => `array(
  select wanted.symbol from unnest(${rebuild}.symbols) as wanted(symbol)
  where not exists (select from rebuild_parts where rebuild_parts.id = ${rebuild}.id and rebuild_parts.symbol = wanted.symbol)
)`;

const REQUEST: Statement = {
  name: 'rebuild_request',
  text: `
    with forgotten as (
      delete from rebuilds where requested_at < now() - interval '${KEPT}'
    ), unknown as (
      select wanted.symbol from unnest($2::text[]) as wanted(symbol)
      where not exists (select from symbols where symbols.symbol = wanted.symbol)
    ), busy as (
      select count(*) >= ${WAITING_MAX} as busy from rebuilds
      where not taken or exists (select from rebuild_parts where rebuild_parts.id = rebuilds.id and not done)
    ), made as (
      insert into rebuilds (id, symbols, from_ts)
      select $1, $2::text[], $3::timestamptz from busy
      where not busy and not exists (select from unknown)
      returning id
    )
    select exists (select from made), array(select symbol from unknown)`,
};

const RELAY: Statement = {
  name: 'rebuild_relay',
  text: `
    with due as (
      select id, from_ts, ${NOT_TAKEN('rebuilds')} as missing
      from rebuilds
      where not taken and (relayed_at is null or relayed_at < clock_timestamp() - interval '${RELAY_AGAIN}')
      order by requested_at limit ${RELAYED_AT_ONCE}
    ), marked as (
      update rebuilds set relayed_at = clock_timestamp(), taken = due.missing = '{}'
      from due where rebuilds.id = due.id
    )
    select id, missing, ${msOf('from_ts')} from due where missing <> '{}'`,
};

/** Of a rebuild that nobody asked this store for nothing is begun. */
const BEGIN: Statement = {
  name: 'rebuild_begin',
  text: `
    insert into rebuild_parts (id, symbol, p, next)
    select rebuilds.id, wanted.symbol, $1, $4::timestamptz
    from rebuilds, unnest($3::text[]) as wanted(symbol)
    where rebuilds.id = $2 and wanted.symbol = any (rebuilds.symbols)
    on conflict (id, symbol) do nothing`,
};

const PART = `parts.id, parts.symbol, case when isfinite(parts.next) then ${msOf('parts.next')} end, parts.compared, parts.found`;

const OPEN: Statement = {
  name: 'rebuild_open',
  text: `
    select ${PART} from rebuild_parts parts join rebuilds on rebuilds.id = parts.id
    where parts.p = $1 and not parts.done
    order by rebuilds.requested_at, parts.id, parts.symbol`,
};

/** One commit like any other, in which the progress of the rebuild stands as well: no difference is told twice, or never. */
const COMMIT: Statement = {
  name: 'rebuild_commit',
  text: `
    with ${COMMIT_PARTS}, removed as (
      delete from candles
      where candles.symbol = $14 and candles.interval = any ($11::text[]) and candles.ts = any ($12::timestamptz[])
        and exists (
          select from own, unnest($11::text[], $12::timestamptz[]) as r(interval, ts)
          where r.interval = candles.interval and r.ts = candles.ts
        )
    ), told as (
      insert into rebuild_differences (id, symbol, n, difference)
      select parts.id, parts.symbol, parts.found + told.n, told.difference
      from own, rebuild_parts parts, unnest($18::text[]) with ordinality as told(difference, n)
      where parts.id = $13 and parts.symbol = $14
    ), progress as (
      update rebuild_parts
      set next = coalesce($15::timestamptz, next), compared = compared + $16, found = found + $17, done = $15::timestamptz is null
      from own where id = $13 and symbol = $14
    )
    select commit_no from own`,
};

const FAIL: Statement = {
  name: 'rebuild_fail',
  text: 'update rebuild_parts set done = true, error = $3 where id = $1 and symbol = $2',
};

const REPORT: Statement = {
  name: 'rebuild_report',
  text: `
    select symbols, ${msOf('from_ts')}, ${msOf('requested_at')},
      coalesce((
        select json_agg(json_build_array(${PART}, parts.done, parts.error) order by parts.symbol)
        from rebuild_parts parts where parts.id = rebuilds.id
      ), '[]'),
      coalesce((
        select '[' || string_agg(d.difference, ',' order by d.symbol, d.n) || ']'
        from (select * from rebuild_differences where id = rebuilds.id order by symbol, n limit ${LISTED_MAX}) d
      ), '[]')
    from rebuilds where id = $1`,
};

type PartCells = [id: string, symbol: string, next: number | null, compared: number, found: number];

function partOf([id, symbol, next, compared, found]: PartCells): RebuildPart {
  return { id, symbol, next, compared, found };
}

type Rebuilds = Pick<
  Store,
  'requestRebuild' | 'rebuild' | 'relayRebuilds' | 'beginRebuild' | 'openRebuilds' | 'commitRebuild' | 'failRebuild'
>;

/** Rebuilds: asked for by a gateway, ordered by the ingestor, carried out by the partitions' owners. */
export function rebuilds(db: Database): Rebuilds {
  return {
    async requestRebuild(id, symbols, from) {
      const values = [id, symbols, from === null ? null : toTimestamp(from)];
      const [row] = await db.run<[made: boolean, unknown: string[]]>(REQUEST, values);
      const [made, unknown] = row!;
      return { made, unknown };
    },

    async rebuild(id) {
      type Row = [
        symbols: string[],
        from: number | null,
        requestedAt: number,
        parts: [...PartCells, done: boolean, error: string | null][],
        differences: string,
      ];
      const [row] = await db.run<Row>(REPORT, [id]);
      if (row === undefined) return null;
      const [symbols, from, requestedAt, parts, differencesJson] = row;
      return {
        id,
        symbols,
        from,
        requestedAt,
        parts: parts.map(([of, symbol, next, compared, found, done, error]) => ({
          ...partOf([of, symbol, next, compared, found]),
          done,
          error,
        })),
        differencesJson,
      };
    },

    async relayRebuilds() {
      const rows = await db.run<[id: string, missing: string[], from: number | null]>(RELAY);
      return rows.flatMap(([id, missing, from]) => {
        const byPartition = new Map<number, string[]>();
        for (const symbol of missing) {
          const partition = partitionOf(symbol, PARTITIONS);
          byPartition.set(partition, [...(byPartition.get(partition) ?? []), symbol]);
        }
        return [...byPartition].map(([partition, symbols]) => {
          const order: RebuildOrder = { id, symbols, from };
          return { partition, order };
        });
      });
    },

    async beginRebuild(partition, { id, symbols, from }) {
      await db.run(BEGIN, [partition, id, symbols, toTimestamp(from ?? Number.NEGATIVE_INFINITY)]);
    },

    async openRebuilds(partition) {
      const rows = await db.run<PartCells>(OPEN, [partition]);
      return rows.map(partOf);
    },

    async commitRebuild(
      partition,
      fence,
      { journalId, entry, clock },
      { id, symbol, next, compared, found, told, series },
    ) {
      const removed = series.flatMap(({ interval, removed = [] }) => removed.map((ts) => [interval, toTimestamp(ts)]));
      const [own] = await db.run<[number]>(COMMIT, [
        ...[partition, fence, entry, journalId, clock],
        ...encodeChanges(series.length > 0 ? [{ symbol, series }] : []),
        ...[removed.map(([interval]) => interval), removed.map(([, ts]) => ts)],
        ...[id, symbol, next === null ? null : toTimestamp(next), compared, found, told],
      ]);
      return own ? own[0] : null;
    },

    async failRebuild(id, symbol, error) {
      await db.run(FAIL, [id, symbol, error]);
    },
  };
}
