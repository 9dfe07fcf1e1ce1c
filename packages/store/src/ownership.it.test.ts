import { waitFor } from '@candlewire/testkit';
import { StoreMismatch } from '.';
import type { Claim, Store } from './store';
import { at, candles, change, changes, type TestStore, testStore } from './store.suite';

const LONG_MS = 600_000;
/** Runs out during a test; nothing here depends on how soon. */
const SHORT_MS = 40;
let test: TestStore;

beforeAll(async () => {
  test = await testStore();
});
beforeEach(async () => {
  await test.sql('truncate store, partitions, owners, symbols, series, candles');
  await test.store.declare({ source: 'replay', calendar: 'nyse', partitions: 16 });
});
afterAll(() => test.drop());

const heldOf = (claims: readonly Claim[]) => new Map(claims.map(({ partition, fence }) => [partition, fence]));
const partitionsOf = (claims: readonly Claim[]) => claims.map((claim) => claim.partition).sort((a, b) => a - b);
const all = Array.from({ length: 16 }, (_, p) => p);
/** As if Postgres's clock had gone on past the leases. */
const expire = (owner: string) =>
  test.sql(`update partitions set lease_until = clock_timestamp() - interval '1 ms' where owner = $1`, [owner]);

describe('claim', () => {
  it('takes over at most so many free partitions, each with a new fence and the position', async () => {
    const claims = await test.store.claim('a', LONG_MS, 3);
    expect(claims).toEqual(
      [0, 1, 2].map((partition) => ({
        partition,
        fence: 1,
        commitNo: 0,
        journalId: null,
        entry: 0,
        clock: null,
        horizon: null,
      })),
    );
    expect(await test.store.claim('a', LONG_MS, 0)).toEqual([]);
    expect(partitionsOf(await test.store.claim('b', LONG_MS, 16))).toEqual(all.slice(3));
    expect(await test.store.claim('c', LONG_MS, 16)).toEqual([]);
  });

  it('continues where the owner before has committed', async () => {
    const [claim] = await test.store.claim('a', LONG_MS, 1);
    await test.store.commit(0, claim!.fence, { journalId: 'j', entry: 12, clock: 34 }, []);
    await test.store.release(heldOf([claim!]));
    expect(await test.store.claim('b', LONG_MS, 1)).toEqual([
      { partition: 0, fence: 2, commitNo: 1, journalId: 'j', entry: 12, clock: 34, horizon: null },
    ]);
  });

  it('never gives a partition to two of many that ask at the same moment', async () => {
    const stores = Array.from({ length: 8 }, () => test.connect(2));
    for (let round = 0; round < 5; round++) {
      const claims = await Promise.all(stores.map((store, i) => store.claim(`owner${i}`, LONG_MS, 3)));
      expect(partitionsOf(claims.flat())).toEqual(partitionsOf(claims.flat().filter(distinct)));
      // Whoever met a row that was being taken went on to others or away; asking again finds the rest.
      const rest = await test.store.claim('rest', LONG_MS, 16);
      expect(partitionsOf([...claims.flat(), ...rest])).toEqual(all);
      await test.store.release(heldOf([...claims.flat(), ...rest]));
    }
  });

  it('takes a partition whose lease ran out by the clock of Postgres, and not before', async () => {
    const now = async () => (await test.sql<{ now: Date }>('select clock_timestamp() as now'))[0]!.now.getTime();
    const from = await now();
    const [mine] = await test.store.claim('a', 300, 1);
    const taken = await waitFor(async () =>
      (await test.store.claim('b', LONG_MS, 16)).find(({ partition }) => partition === mine!.partition),
    );
    expect(await now()).toBeGreaterThanOrEqual(from + 300);
    expect(taken.fence).toBe(mine!.fence + 1);
  });

  it('passes over a partition that is being committed to, its lease out or not', async () => {
    const [mine] = await test.store.claim('a', LONG_MS, 1);
    await expire('a');
    const committing = await test.client();
    await committing.query('begin');
    await committing.query('update partitions set entry = entry + 1 where p = $1', [mine!.partition]);
    expect(partitionsOf(await test.store.claim('b', LONG_MS, 16))).toEqual(all.slice(1));
    await committing.query('rollback');
    expect(partitionsOf(await test.store.claim('b', LONG_MS, 16))).toEqual([0]);
  });

  it('leaves an owner that was paused and replaced with a fence that writes nothing', async () => {
    const [paused] = await test.store.claim('a', LONG_MS, 1);
    await expire('a');
    const [successor] = await test.connect().claim('b', LONG_MS, 1);
    expect(successor!.partition).toBe(paused!.partition);
    const write = (store: Store, claim: Claim, entry: number) =>
      store.commit(claim.partition, claim.fence, at(entry), [changes('X', change('1m', candles(entry)))]);
    expect(await write(test.store, successor!, 1)).toBe(1);
    expect(await write(test.store, paused!, 2)).toBeNull();
    expect((await test.store.head('X', '1m'))?.seq).toBe(1);
  });
});

const distinct = (claim: Claim, i: number, claims: readonly Claim[]) =>
  claims.findIndex((other) => other.partition === claim.partition) === i;

describe('beat', () => {
  it('counts the owners that live, and no longer those that are silent', async () => {
    expect(await test.store.beat('a', LONG_MS, new Map())).toEqual({ owners: 1, held: [] });
    expect(await test.store.beat('b', LONG_MS, new Map())).toEqual({ owners: 2, held: [] });
    expect(await test.store.beat('a', LONG_MS, new Map())).toEqual({ owners: 2, held: [] });
    await test.store.beat('b', SHORT_MS, new Map());
    await waitFor(async () => (await test.store.beat('a', LONG_MS, new Map())).owners === 1);
  });

  it('extends the leases of what is still held, and names it', async () => {
    const claims = await test.store.claim('a', LONG_MS, 3);
    await expire('a');
    expect(await test.store.owned()).toBe(0);
    const held = new Map([...heldOf(claims), [1, 99]]);
    expect((await test.store.beat('a', LONG_MS, held)).held).toEqual([0, 2]);
    expect(await test.store.owned()).toBe(2);
    expect(partitionsOf(await test.store.claim('b', LONG_MS, 16))).toEqual([1, ...all.slice(3)]);
    expect((await test.store.beat('a', LONG_MS, heldOf(claims))).held).toEqual([0, 2]);
  });

  it('does not wait for a commit of the same owner, nor does it lose that partition', async () => {
    const claims = await test.store.claim('a', LONG_MS, 2);
    const committing = await test.client();
    await committing.query('begin');
    await committing.query('update partitions set entry = entry + 1 where p = 0');
    await expire('none');
    expect((await test.store.beat('a', LONG_MS, heldOf(claims))).held).toEqual([0, 1]);
    await committing.query('rollback');
  });

  it('forgets owners that died long ago', async () => {
    await test.store.beat('dead', 0, new Map());
    await test.sql(`update owners set lease_until = lease_until - interval '2 hours'`);
    await test.store.beat('a', LONG_MS, new Map());
    expect(await test.sql('select owner from owners')).toEqual([{ owner: 'a' }]);
  });
});

describe('owners', () => {
  it('names those that live, with partitions or without, and no longer those that are silent or have left', async () => {
    expect(await test.store.owners()).toEqual([]);
    await test.store.beat('idle', LONG_MS, new Map());
    await test.store.beat('busy', LONG_MS, heldOf(await test.store.claim('busy', LONG_MS, 16)));
    await test.store.beat('silent', LONG_MS, new Map());
    expect(await test.store.owners()).toEqual(['busy', 'idle', 'silent']);
    await test.store.beat('silent', SHORT_MS, new Map());
    await waitFor(async () => (await test.store.owners()).length === 2);
    await test.store.leave('busy');
    expect(await test.store.owners()).toEqual(['idle']);
  });
});

describe('release and leave', () => {
  it('gives back what is held and passes over what no longer is', async () => {
    const claims = await test.store.claim('a', LONG_MS, 3);
    await test.store.release(
      new Map([
        [0, claims[0]!.fence],
        [1, 99],
      ]),
    );
    expect(partitionsOf(await test.store.claim('b', LONG_MS, 16))).toEqual([0, ...all.slice(3)]);
  });

  it('removes an owner with all that it holds', async () => {
    await test.store.beat('a', LONG_MS, new Map());
    await test.store.claim('a', LONG_MS, 3);
    await test.store.claim('b', LONG_MS, 1);
    expect(await test.store.owned()).toBe(4);
    await test.store.leave('a');
    expect(await test.store.owned()).toBe(1);
    expect(await test.store.beat('b', LONG_MS, new Map())).toEqual({ owners: 1, held: [] });
  });
});

describe('declare', () => {
  const replay = { source: 'replay', calendar: 'nyse', partitions: 16 } as const;

  it('finds one and the same identity, however often and from wherever', async () => {
    const identity = await test.store.identity();
    expect(identity).toEqual({ ...replay, epoch: expect.stringMatching(/^[0-9a-f]{16}$/) });
    const others = await Promise.all(
      [test.connect(), test.connect(), test.store].map((store) => store.declare(replay)),
    );
    expect(others).toEqual([identity, identity, identity]);
  });

  it('makes the identity and its partitions once where several declare an empty store', async () => {
    await test.sql('truncate store, partitions');
    expect(await test.store.identity()).toBeNull();
    const stores = Array.from({ length: 5 }, () => test.connect());
    const identities = await Promise.all(stores.map((store) => store.declare(replay)));
    expect(new Set(identities.map(({ epoch }) => epoch)).size).toBe(1);
    expect(partitionsOf(await test.store.claim('a', LONG_MS, 99))).toEqual(all);
  });

  it.each([
    [{ ...replay, source: 'simulator' }, 'SOURCE=simulator (calendar nyse, 16 partitions)'],
    [{ ...replay, calendar: '24x7' }, 'SOURCE=replay (calendar 24x7, 16 partitions)'],
    [{ ...replay, partitions: 8 }, 'SOURCE=replay (calendar nyse, 8 partitions)'],
  ] as const)('refuses another source, calendar or number of partitions, naming both: %j', async (wanted, named) => {
    const declared = test.store.declare(wanted);
    await expect(declared).rejects.toBeInstanceOf(StoreMismatch);
    await expect(declared).rejects.toThrow(
      `this store holds candles of source replay (calendar nyse, 16 partitions); ${named} needs another DATABASE_URL or DATA_DIR`,
    );
  });
});
