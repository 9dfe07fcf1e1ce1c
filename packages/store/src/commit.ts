import type { Interval } from '@candlewire/contracts';
import { CANDLE_ARRAY, decodeCandles, encodeRows, KEY_COLUMNS, VALUE_COLUMNS } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store, SymbolChange, Unpublished } from './store';

const COLUMNS = [...KEY_COLUMNS, ...VALUE_COLUMNS].join(', ');

/**
 * One statement and not a transaction over round trips: the open transaction of an owner that is paused would hold the
 * partition's row and block its own replacement. Everything is joined to `own`, so that a fence that no longer holds
 * writes nothing. A candle's seq never falls; an equal one is a minute of which only `rev` moved.
 * Symbols that nobody registered become known; only a replay, which delivers whatever its file holds, makes them active:
 * one that somebody merely watched is not to be delivered for ever.
 * Symbols are sorted, since registering inserts them too, and two such inserts in different order would lock each other.
 */
export const COMMIT_PARTS = `
    own as (
      update partitions set entry = $3, journal_id = $4, clock = $5, commit_no = commit_no + 1
      where p = $1 and fence = $2
      returning commit_no
    ), heads as (
      select h.symbol, h.interval, h.seq, h.seq_before, own.commit_no
      from own, unnest($6::text[], $7::text[], $8::bigint[], $9::bigint[]) as h(symbol, interval, seq, seq_before)
    ), known as (
      insert into symbols (symbol, active)
      select distinct symbol, exists (select from store where one and source = 'replay') from heads where seq_before = 0 order by symbol
      on conflict (symbol) do nothing
    ), numbered as (
      insert into series (symbol, interval, p, seq, seq_before, commit_no)
      select symbol, interval, $1, seq, seq_before, commit_no from heads
      on conflict (symbol, interval) do update
      set seq = excluded.seq, seq_before = excluded.seq_before, commit_no = excluded.commit_no
    ), stored as (
      insert into candles (${COLUMNS})
      select ${COLUMNS} from own, unnest($10::candle_row[])
      on conflict (symbol, interval, ts) do update
      set ${VALUE_COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}
      where candles.seq <= excluded.seq
    )`;

const COMMIT: Statement = { name: 'commit', text: `with ${COMMIT_PARTS} select commit_no from own` };

const LAST_COMMIT: Statement = {
  name: 'last_commit',
  text: `
    select s.symbol, s.interval, s.seq_before, s.seq, c.arrays
    from partitions
    join series s on s.p = partitions.p and s.commit_no = partitions.commit_no
    cross join lateral (
      select string_agg(${CANDLE_ARRAY}, ',') as arrays
      from (
        select * from candles
        where candles.symbol = s.symbol and candles.interval = s.interval and candles.seq > s.seq_before
        order by candles.seq
      ) c
    ) c
    where partitions.p = $1
    order by s.symbol, s.interval`,
};

const OPEN_SYMBOLS: Statement = {
  name: 'open_symbols',
  text: `
    select distinct s.symbol
    from series s
    where s.p = $1 and exists (
      select from candles c where c.symbol = s.symbol and c.interval = s.interval and not c.final
    )
    order by s.symbol`,
};

/** What a partition's owner writes, and reads back when it takes over. */
export function commits(db: Database): Pick<Store, 'commit' | 'lastCommit' | 'openSymbols'> {
  return {
    async commit(partition, fence, { journalId, entry, clock }, changes) {
      const values = [partition, fence, entry, journalId, clock, ...encodeChanges(changes)];
      const [own] = await db.run<[number]>(COMMIT, values);
      return own ? own[0] : null;
    },

    async lastCommit(partition) {
      type Row = [symbol: string, interval: Interval, seqBefore: number, seq: number, arrays: string];
      const rows = await db.run<Row>(LAST_COMMIT, [partition]);
      return rows.map(
        ([symbol, interval, seqBefore, seq, arrays]): Unpublished => ({
          symbol,
          change: { interval, seqBefore, seq, changed: decodeCandles(arrays), touched: [] },
        }),
      );
    },

    async openSymbols(partition) {
      const rows = await db.run<[string]>(OPEN_SYMBOLS, [partition]);
      return rows.map(([symbol]) => symbol);
    },
  };
}

/** Parameters 6 to 10 of {@link COMMIT_PARTS}: columns of the heads that move, and all rows. */
export function encodeChanges(changes: readonly SymbolChange[]): [string[], Interval[], number[], number[], string] {
  const symbols: string[] = [];
  const intervals: Interval[] = [];
  const seqs: number[] = [];
  const seqsBefore: number[] = [];
  const rows: string[] = [];
  for (const { symbol, series } of changes) {
    for (const { interval, seqBefore, seq, changed, touched } of series) {
      if (seq > seqBefore) {
        symbols.push(symbol);
        intervals.push(interval);
        seqs.push(seq);
        seqsBefore.push(seqBefore);
      }
      encodeRows(symbol, interval, changed, rows);
      encodeRows(symbol, interval, touched, rows);
    }
  }
  return [symbols, intervals, seqs, seqsBefore, `{${rows.join(',')}}`];
}
