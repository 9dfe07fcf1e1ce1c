import type { Knex } from 'knex';

/**
 * `history_from`: from when on the source was asked for a symbol's bars; null: never, its history is still to be filled.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table symbols add column history_from timestamptz');
}
