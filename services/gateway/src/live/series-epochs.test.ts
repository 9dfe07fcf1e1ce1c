import { encodeChangedMessage } from '@candlewire/contracts';
import { counters, follow, message, publish, series, stored, told, turns } from './series.suite';

test('another epoch, or too much that is missing, begins anew', async () => {
  const one = told();
  follow(one);
  await turns();
  publish(1);
  await turns();
  stored.epoch = 'another';
  stored.seq = 3;
  series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'another', 3)));
  await turns();
  series.hear(message(4, 'another'));
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 1, 'reset', 'snapshot', 4]);
  stored.seq = 20_000;
  series.hear(message(20_000, 'another'));
  await turns();
  expect(one.seqs().slice(5)).toEqual(['reset', 'snapshot']);
  expect(counters.resets).toBe(2);
});

test('a page of an epoch that is over turns back whom it was read for, and nobody else', async () => {
  stored.seq = 3;
  const one = told();
  follow(one);
  await turns();
  const held = stored.hold();
  const late = told();
  follow(late, { from: 'snapshot', rows: 7 });
  await turns();
  held.late();
  [stored.epoch, stored.seq] = ['another', 1];
  series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'another', 1)));
  await turns();
  held.answer();
  await turns(10);
  series.hear(message(2, 'another'));
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 'reset', 'snapshot', 2]);
  expect(late.seqs()).toEqual(['snapshot', 'reset', 'snapshot', 2]);
});

test('another epoch that one client finds begins anew for all', async () => {
  const one = told();
  follow(one);
  await turns();
  [stored.epoch, stored.seq] = ['another', 3];
  const finder = told();
  follow(finder, { from: 'snapshot', rows: 7 });
  await turns(10);
  series.hear(message(4, 'another'));
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 'reset', 'snapshot', 4]);
  expect(finder.seqs()).toEqual(['snapshot', 4]);
});

test.each<[string, () => unknown]>([
  ['its head is looked at', () => series.readHead()],
  ['somebody joins', () => follow(told(), { from: 'snapshot', rows: 7 })],
])('a store that lost what it had, in the same epoch, begins anew: %s', async (_, look) => {
  const one = told();
  follow(one);
  await turns();
  publish(1, 2, 3);
  await turns();
  stored.seq = 2;
  look();
  await turns(10);
  publish(3);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 1, 2, 3, 'reset', 'snapshot', 3]);
});

test('an answer that is older than a message heard since is no sign of that', async () => {
  const one = told();
  follow(one);
  await turns();
  publish(1);
  await turns();
  stored.meanwhile = () => {
    stored.meanwhile = () => {};
    publish(2);
  };
  const before = counters.gapsHealed;
  follow(told(), { from: 'snapshot', rows: 7 });
  await turns();
  expect([one.seqs(), counters.gapsHealed - before]).toEqual([['snapshot', 1, 2], 0]);
});
