import type { Knex } from 'knex';

/**
 * What is known to be complete, and what is being fetched so that it becomes so. Times are epoch ms.
 *
 * `coverage`: of each symbol, what history has answered once (`answered`), and what it has answered after the close of the
 * day (`settled`); merged ranges, so a row stays small however much was fetched.
 * `live_sessions`: stretches of live stream; every minute before `vouched_to` was delivered, or had no trade, and all of it
 * has been committed. A heartbeat moves one row, however many symbols there are: `live_symbols` says who took part.
 * `fills`: ranges that are to be fetched, and how that goes; done ones are deleted. `backfill` is '' where nobody asked.
 * `backfills`, `backfill_parts`: what somebody asked for, and how far each symbol has come. At most one unfinished with
 * the same `wanted`.
 * `source_facts`: what the ingestor says of its source, for whoever judges what is missing.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table coverage (
      symbol   text collate "C" primary key,
      answered int8multirange not null,
      settled  int8multirange not null
    );

    create table live_sessions (
      id         bigint generated always as identity primary key,
      begins     bigint      not null,
      vouched_to bigint      not null,
      beat_at    timestamptz not null default now()
    ) with (fillfactor = 50);

    create table live_symbols (
      symbol  text collate "C" not null,
      session bigint not null references live_sessions on delete cascade,
      since   bigint not null,
      until   bigint,
      primary key (symbol, session, since)
    );
    create index live_symbols_session on live_symbols (session);

    create table fills (
      symbol   text collate "C" not null,
      begins   bigint  not null,
      ends     bigint  not null,
      backfill text collate "C" not null default '',
      priority integer not null,
      state    text    not null default 'queued' check (state in ('queued', 'running', 'waiting', 'failed')),
      reason   text,
      bars     bigint  not null default 0,
      primary key (symbol, begins, ends, backfill)
    );
    create index fills_backfill on fills (backfill);

    create table backfills (
      id           text collate "C" primary key,
      wanted       text        not null,
      begins       bigint      not null,
      ends         bigint      not null,
      requested_at timestamptz not null default now(),
      finished_at  timestamptz,
      reason       text
    );
    create unique index backfills_unfinished on backfills (wanted) where finished_at is null;

    create table backfill_parts (
      backfill   text collate "C" not null references backfills on delete cascade,
      symbol     text collate "C" not null,
      done       int8multirange not null default '{}',
      bars       bigint  not null default 0,
      jobs_done  integer not null default 0,
      jobs_total integer,
      reason     text,
      primary key (backfill, symbol)
    );

    create table source_facts (
      one         boolean primary key default true check (one),
      statuses    text[]  not null,
      has_history boolean not null
    );
  `);
}
