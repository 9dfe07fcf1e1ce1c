import { partitionOf } from '@candlewire/contracts';
import { bar, waitFor } from '@candlewire/testkit';
import { createRig, type Rig } from './rig.suite';

const LAPSED = partitionOf('AAPL');
const TAKEN = partitionOf('MSFT');

let rig: Rig;

beforeAll(async () => {
  rig = await createRig();
});
afterAll(() => rig.close());

it('a partition that an owner claims from itself, since its lease ran out under a commit, is run once', async () => {
  expect(LAPSED).not.toBe(TAKEN);
  let isDue = false;
  const fences: number[] = [];
  const aggregator = await rig.start('first', {
    // A beat passes over the row that a commit holds. This one finds another partition gone, so there is room for one.
    async beat(owner, leaseMs, held) {
      if (!isDue) return rig.store.beat(owner, leaseMs, held);
      isDue = false;
      await rig.sql(`update partitions set lease_until = clock_timestamp() - interval '1 second' where p = $1`, [
        LAPSED,
      ]);
      await rig.sql(`update partitions set owner = 'other', fence = fence + 1, lease_until = 'infinity' where p = $1`, [
        TAKEN,
      ]);
      const others = new Map([...held].filter(([partition]) => partition !== LAPSED));
      const alive = await rig.store.beat(owner, leaseMs, others);
      return { ...alive, held: [...alive.held, LAPSED] };
    },
    commit(partition, fence, position, changes) {
      if (partition === LAPSED) fences.push(fence);
      return rig.store.commit(partition, fence, position, changes);
    },
  });
  await waitFor(() => aggregator.held().includes(LAPSED) && aggregator.held().includes(TAKEN));
  const [before] = await rig.sql<{ fence: string }>('select fence from partitions where p = $1', [LAPSED]);
  isDue = true;
  await waitFor(() => aggregator.counters.lost === 2, { what: 'both are noticed' });
  expect(aggregator.held()).toContain(LAPSED);

  await rig.append('AAPL', null, [bar()]);
  await rig.consumed('AAPL');
  await rig.stop(aggregator);
  expect(new Set(fences)).toEqual(new Set([Number(before!.fence) + 1]));
});
