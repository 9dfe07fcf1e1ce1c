import type { Knex } from 'knex';

/**
 * `partitions.horizon`: minutes before it are gone for every reader, and refused; null: all are kept.
 *
 * Rebuilds: what was asked for, how far each symbol has come, and the first of what was found. `taken`: the owners of all
 * its symbols know of it. `next` is where the next day of a symbol begins.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    alter table partitions add column horizon timestamptz;

    create table rebuilds (
      id           text primary key,
      symbols      text[] not null,
      from_ts      timestamptz,
      requested_at timestamptz not null default now(),
      relayed_at   timestamptz,
      taken        boolean not null default false
    );
    create index rebuilds_waiting on rebuilds (requested_at) where not taken;

    create table rebuild_parts (
      id       text not null references rebuilds on delete cascade,
      symbol   text collate "C" not null,
      p        integer not null,
      next     timestamptz not null,
      compared bigint  not null default 0,
      found    bigint  not null default 0,
      done     boolean not null default false,
      error    text,
      primary key (id, symbol)
    );
    create index rebuild_parts_open on rebuild_parts (p) where not done;

    create table rebuild_differences (
      id         text not null,
      symbol     text collate "C" not null,
      n          bigint not null,
      difference text not null,
      primary key (id, symbol, n),
      foreign key (id, symbol) references rebuild_parts on delete cascade
    );
  `);
}
