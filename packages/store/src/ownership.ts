import { msOf } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Claim, Store } from './store';

/** An owner that has been silent for so long is forgotten; until then its row only says that it is gone. */
const FORGET_AFTER = '1 hour';

/*
 * All by Postgres's clock, the only one that all owners share, and by `clock_timestamp()`: `now()` stands still while a
 * statement waits for a row. What decides is always the fence; leases only say when somebody else may raise it.
 */

const HELD = `json_to_recordset($1) as held(p int, fence bigint)`;

/**
 * Rows that a commit of the same owner holds are passed over: waiting for it would let the leases of all the others run
 * out, and while it holds the row nobody can claim it.
 */
const BEAT: Statement = {
  name: 'beat',
  text: `
    with forgotten as (
      delete from owners where lease_until < clock_timestamp() - interval '${FORGET_AFTER}' and owner <> $2
    ), present as (
      insert into owners (owner, lease_until) values ($2, clock_timestamp() + $3 * interval '1 millisecond')
      on conflict (owner) do update set lease_until = excluded.lease_until
    ), free as (
      select partitions.p from ${HELD} join partitions on partitions.p = held.p and partitions.fence = held.fence
      where partitions.owner = $2
      for update of partitions skip locked
    ), extended as (
      update partitions set lease_until = clock_timestamp() + $3 * interval '1 millisecond'
      from free where partitions.p = free.p
    )
    select
      (select count(*) from owners where lease_until > clock_timestamp() and owner <> $2) + 1,
      array(
        select partitions.p from ${HELD} join partitions on partitions.p = held.p and partitions.fence = held.fence
        where partitions.owner = $2
        order by partitions.p
      )`,
};

/** `skip locked`: a row that is being claimed, or committed to at this moment, is not free. */
const CLAIM: Statement = {
  name: 'claim',
  text: `
    with free as (
      select p from partitions
      where owner is null or lease_until < clock_timestamp()
      order by p limit $3
      for update skip locked
    )
    update partitions
    set owner = $1, lease_until = clock_timestamp() + $2 * interval '1 millisecond', fence = fence + 1
    from free where partitions.p = free.p
    returning partitions.p, fence, commit_no, journal_id, entry, clock, ${msOf('horizon')}`,
};

const RELEASE: Statement = {
  name: 'release',
  text: `
    update partitions set owner = null, lease_until = null
    from ${HELD} where partitions.p = held.p and partitions.fence = held.fence`,
};

const LEAVE: Statement = {
  name: 'leave',
  text: `
    with gone as (delete from owners where owner = $1)
    update partitions set owner = null, lease_until = null where owner = $1`,
};

const OWNED: Statement = {
  name: 'owned',
  text: `select count(*) from partitions where owner is not null and lease_until > clock_timestamp()`,
};

const OWNERS: Statement = {
  name: 'owners',
  text: `select owner from owners where lease_until > clock_timestamp() order by owner`,
};

type Ownership = Pick<Store, 'beat' | 'claim' | 'release' | 'leave' | 'owned' | 'owners'>;

/** Who may write which partition. */
export function ownership(db: Database): Ownership {
  return {
    async beat(owner, leaseMs, held) {
      const [row] = await db.run<[owners: number, held: number[]]>(BEAT, [encodeHeld(held), owner, leaseMs]);
      return { owners: row![0], held: row![1] };
    },

    async claim(owner, leaseMs, countMax) {
      type Row = [
        p: number,
        fence: number,
        commitNo: number,
        journalId: string | null,
        entry: number,
        clock: number | null,
        horizon: number | null,
      ];
      const rows = await db.run<Row>(CLAIM, [owner, leaseMs, countMax]);
      return rows.map(
        ([partition, fence, commitNo, journalId, entry, clock, horizon]): Claim => ({
          partition,
          fence,
          commitNo,
          journalId,
          entry,
          clock,
          horizon,
        }),
      );
    },

    async release(held) {
      await db.run(RELEASE, [encodeHeld(held)]);
    },

    async leave(owner) {
      await db.run(LEAVE, [owner]);
    },

    async owned() {
      const [row] = await db.run<[number]>(OWNED);
      return row![0];
    },

    async owners() {
      const rows = await db.run<[string]>(OWNERS);
      return rows.map(([owner]) => owner);
    },
  };
}

/** By partition: several rows are always locked in this order. */
function encodeHeld(held: ReadonlyMap<number, number>): string {
  return JSON.stringify([...held].sort(([a], [b]) => a - b).map(([p, fence]) => ({ p, fence })));
}
