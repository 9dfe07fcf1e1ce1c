import { Turns } from './turns';

test('no more act at a time than may, in the order in which they came, and one that fails hands its turn on', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const ends: ((failed?: Error) => void)[] = [];
  const all = [0, 1, 2, 3].map((n) =>
    turns.take(async () => {
      begun.push(n);
      await new Promise<void>((resolve, reject) => {
        ends[n] = (failed) => (failed === undefined ? resolve() : reject(failed));
      });
      return n;
    }),
  );
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  ends[1]!(new Error('one'));
  await expect(all[1]).rejects.toThrow('one');
  expect(begun).toEqual([0, 1, 2]);
  ends[0]!();
  expect(await all[0]).toBe(0);
  expect(begun).toEqual([0, 1, 2, 3]);
  ends[2]!();
  ends[3]!();
  expect(await Promise.all([all[2], all[3]])).toEqual([2, 3]);
  expect(await turns.take(async () => 4)).toBe(4);
});
