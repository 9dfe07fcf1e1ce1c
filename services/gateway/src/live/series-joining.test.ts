import { encodeChangedMessage } from '@candlewire/contracts';
import { budget, counters, follow, publish, series, stored, told, turns } from './series.suite';
import type { Start } from './series-follower';

test('who joins while changes wait to be handed over is told those that it does not know', async () => {
  const first = told();
  follow(first);
  await turns();
  publish(1, 2);
  const second = told();
  follow(second, { from: 'since', epoch: 'e', seq: 1, rows: 5 });
  await Promise.resolve();
  publish(3);
  await turns(10);
  expect(second.seqs()).toEqual([2, 3]);
  expect(first.seqs()).toEqual(['snapshot', 1, 2, 3]);
});

test('who is where the series is joins without reading the store', async () => {
  follow(told());
  await turns();
  publish(1, 2);
  await turns();
  const before = stored.reads;
  const one = told();
  follow(one, { from: 'since', epoch: 'e', seq: 2, rows: 5 });
  await turns();
  publish(3);
  await turns();
  expect([one.seqs(), stored.reads - before]).toEqual([[3], 0]);
});

test('who is behind where the series is known to be joins with one read, and others like it with none', async () => {
  follow(told());
  await turns();
  publish(1, 2, 3);
  await turns();
  series.tidy(Number.POSITIVE_INFINITY);
  const before = stored.reads;
  const one = told();
  follow(one, { from: 'since', epoch: 'e', seq: 1, rows: 5 });
  await turns();
  publish(4);
  await turns();
  expect([one.seqs(), stored.reads - before]).toEqual([[2, 3, 4], 1]);
  const another = told();
  follow(another, { from: 'since', epoch: 'e', seq: 2, rows: 5 });
  await turns();
  expect([another.seqs(), stored.reads - before]).toEqual([[3, 4], 1]);
});

test('after a loss that nobody followed through, nobody joins on what is remembered', async () => {
  const first = told();
  const following = follow(first);
  await turns();
  publish(1);
  await turns();
  following.stop();
  stored.seq = 2;
  series.lost();
  const one = told();
  follow(one, { from: 'since', epoch: 'e', seq: 1, rows: 5 });
  await turns(10);
  publish(3);
  await turns();
  expect(one.seqs()).toEqual([2, 3]);
});

test('what was read for a client that was given a snapshot meanwhile is not told after it', async () => {
  follow(told());
  await turns();
  publish(1, 2, 3);
  await turns();
  series.tidy(Number.POSITIVE_INFINITY);
  const changes = stored.changes.bind(stored);
  let answer = (): void => {};
  stored.changes = async (after) => {
    const page = await changes(after);
    // The first is answered when the second is asked, and that one later.
    stored.changes = async (next) => {
      answer();
      await turns();
      return changes(next);
    };
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return page;
  };
  const one = told();
  const following = follow(one, { from: 'since', epoch: 'e', seq: 1, rows: 5 });
  await turns();
  // Its snapshot is read, and more comes before it can join.
  stored.meanwhile = () => {
    stored.meanwhile = () => {};
    publish(4);
    series.flush();
  };
  following.again(5);
  await turns(20);
  publish(5);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 4, 5]);
});

test('a change that left no candle behind is behind those who join next, too', async () => {
  follow(told());
  await turns();
  publish(1, 2, 3);
  await turns();
  // Its snapshot is kept for others.
  follow(told());
  await turns();
  stored.seq = 4;
  stored.removed.add(4);
  series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'e', 4)));
  await turns();
  const [one, another] = [told(), told()];
  follow(one);
  follow(another, { from: 'since', epoch: 'e', seq: 3, rows: 5 });
  await turns();
  publish(5);
  await turns();
  expect([one.seqs(), another.seqs()]).toEqual([['snapshot', 5], [5]]);
  expect(counters.storeReadsShared).toBeLessThan(3);
});

describe('what was read before a loss that nobody followed through', () => {
  beforeEach(async () => {
    stored.seq = 3;
    const before = follow(told());
    await turns();
    before.stop();
  });

  test.each<[string, Start, (number | string)[]]>([
    ['a snapshot', { from: 'snapshot', rows: 7 }, ['snapshot', 4]],
    ['changes', { from: 'since', epoch: 'e', seq: 2, rows: 5 }, [3, 4]],
  ])('does not say where the series stands: %s', async (_, start, expected) => {
    const held = stored.hold();
    const one = told();
    follow(one, start);
    await turns();
    held.late();
    stored.seq = 4;
    series.lost();
    held.answer();
    await turns();
    expect(one.seqs()).toEqual(expected);
    publish(5);
    await turns();
    expect(one.seqs()).toEqual([...expected, 5]);
  });

  test('does not when it was told later, either', async () => {
    const one = told();
    let tellIt = (): void => {};
    const { pace } = one.client.work;
    one.client.work.pace = (tell) => {
      one.client.work.pace = pace;
      return new Promise<void>((resolve) => {
        tellIt = () => resolve(tell());
      });
    };
    follow(one, { from: 'snapshot', rows: 7 });
    await turns();
    stored.seq = 4;
    series.lost();
    tellIt();
    await turns();
    expect(one.seqs()).toEqual(['snapshot', 4]);
  });
});

test('a series that was closed keeps nothing, not even what is still being read', async () => {
  follow(told());
  await turns();
  expect(budget.bytes).toBeGreaterThan(0);
  const held = stored.hold();
  const one = follow(told(), { from: 'snapshot', rows: 7 });
  await turns();
  one.stop();
  series.close();
  expect(budget.bytes).toBe(0);
  held.answer();
  await turns();
  expect(budget.bytes).toBe(0);
});
