import type { Knex } from 'knex';

/**
 * Candles, how their changes are numbered, and who may write them.
 *
 * Text keys collate "C": their order is that of the bytes on every machine, and comparing them is cheap.
 * Columns stand by falling width, which saves the padding between them.
 * `candles_numbering` answers "what changed since seq n" and makes a number that was given twice an error.
 * `candles_open` holds what a clock may still make final.
 * `candles_finite` refuses what JSON cannot hold: Postgres orders NaN above everything.
 * `candle_row` is how a commit delivers candles: a type of its own, so that a table with more columns takes it as well.
 * Rows of `series` and `partitions` are rewritten with every commit and none of the columns that change is indexed: room
 * in their pages keeps those updates out of the indexes. Of candles only few rows change, those of the newest minutes:
 * vacuum must not wait for a fifth of a large table.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table store (
      one        boolean primary key default true check (one),
      epoch      text    not null,
      source     text    not null,
      calendar   text    not null,
      partitions integer not null
    );

    create table partitions (
      p           integer primary key,
      owner       text,
      lease_until timestamptz,
      fence       bigint not null default 0,
      journal_id  text,
      entry       bigint not null default 0,
      clock       bigint,
      commit_no   bigint not null default 0
    ) with (fillfactor = 20);

    create table owners (
      owner       text primary key,
      lease_until timestamptz not null
    );

    create table symbols (
      symbol   text collate "C" primary key,
      name     text,
      active   boolean     not null default true,
      added_at timestamptz not null default now()
    );

    create table series (
      symbol     text collate "C" not null,
      interval   text collate "C" not null,
      p          integer not null,
      seq        bigint  not null,
      seq_before bigint  not null,
      commit_no  bigint  not null,
      primary key (symbol, interval)
    ) with (fillfactor = 50);
    create index series_partition on series (p);

    create table candles (
      ts            timestamptz not null,
      seq           bigint      not null,
      open          float8      not null,
      high          float8      not null,
      low           float8      not null,
      close         float8      not null,
      volume        bigint      not null,
      vwap          float8,
      trade_count   bigint,
      rsi           float8,
      avg_gain      float8      not null,
      avg_loss      float8      not null,
      avg_range     float8      not null,
      ma40          float8,
      ma80          float8,
      ma160         float8,
      revision      integer     not null,
      rev           smallint    not null,
      market_status smallint    not null check (market_status between 0 and 3),
      final         boolean     not null,
      symbol        text collate "C" not null,
      interval      text collate "C" not null check (interval in ('1m', '5m', '1h', '1d')),
      primary key (symbol, interval, ts),
      constraint candles_numbering unique (symbol, interval, seq),
      constraint candles_finite check (
        greatest(open, high, low, close, vwap, rsi, avg_gain, avg_loss, avg_range, ma40, ma80, ma160) < 'Infinity'
      )
    ) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
    create index candles_open on candles (symbol, interval, ts) where not final;

    create type candle_row as (
      symbol text, interval text, ts timestamptz, seq bigint, open float8, high float8, low float8, close float8,
      volume bigint, vwap float8, trade_count bigint, market_status smallint, rsi float8, avg_gain float8, avg_loss float8,
      avg_range float8, ma40 float8, ma80 float8, ma160 float8, final boolean, revision integer, rev smallint
    );
  `);
}
