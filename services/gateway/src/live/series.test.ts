import { encodeCandleMessageOf, encodeChangedMessage } from '@candlewire/contracts';
import {
  counters,
  failures,
  follow,
  message,
  publish,
  refused,
  type Stored,
  series,
  stored,
  type Told,
  told,
  turns,
} from './series.suite';

test('successors go on, those of one turn together; what was told is not told again', async () => {
  const one = told();
  follow(one);
  await turns();
  publish(1, 2, 3, 2);
  await turns();
  publish(4);
  await turns();
  expect(one.appends.map(({ seqs }) => seqs)).toEqual([['snapshot'], [1, 2, 3], [4]]);
  expect([counters.gapsHealed, stored.reads]).toEqual([0, 1]);
});

test('a hole is read from the store, once for all who follow', async () => {
  const all = [told(), told(), told()];
  for (const one of all) follow(one);
  await turns();
  const before = stored.reads;
  publish(1);
  stored.seq = 4;
  publish(5);
  await turns();
  for (const one of all) expect(one.seqs()).toEqual(['snapshot', 1, 2, 3, 4, 5]);
  expect([counters.gapsHealed, stored.reads - before]).toEqual([1, 1]);
});

test('what comes while a hole is read follows on it', async () => {
  const one = told();
  follow(one);
  await turns();
  stored.meanwhile = () => {
    stored.meanwhile = () => {};
    publish(6, 7);
    stored.seq = 9;
    publish(10);
  };
  stored.seq = 4;
  publish(5);
  await turns(10);
  expect(one.seqs()).toEqual(['snapshot', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('a message that tells of what no store holds is read after once, and no more', async () => {
  const one = told();
  follow(one);
  await turns();
  publish(1);
  series.hear(message(1_000_000));
  await turns(20);
  expect(stored.reads).toBeLessThan(5);
  publish(2, 3);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 1, 2, 3]);
});

test('a flood that is told as one message is read from the store', async () => {
  const one = told();
  follow(one);
  await turns();
  stored.seq = 450;
  series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'e', 450)));
  await turns(20);
  expect(one.seqs()).toEqual(['snapshot', ...Array.from({ length: 450 }, (_, i) => i + 1)]);
});

test('where the heads differ, and nothing was heard, it is read', async () => {
  const one = told();
  follow(one);
  await turns();
  publish(1);
  await turns();
  stored.seq = 3;
  series.compare('e', 3);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 1, 2, 3]);
  series.compare('e', 3);
  await turns();
  expect(counters.gapsHealed).toBe(1);
});

test('who reads too slowly is told what it missed once it reads on, and how much was left out', async () => {
  const slow = told();
  follow(slow);
  await turns();
  series.tidy(Number.POSITIVE_INFINITY);
  publish(1);
  await turns();
  const changes = stored.changes.bind(stored);
  // Two states of one candle: the store knows the later one alone.
  stored.changes = async (after) => {
    const page = await changes(after);
    return { ...page, changes: page.changes.filter(({ seq }) => seq !== 3) };
  };
  slow.isSlow = true;
  publish(2, 3, 4);
  await turns();
  slow.isSlow = false;
  publish(5);
  await turns();
  expect(slow.seqs()).toEqual(['snapshot', 1, 'skipped', 2, 4, 5]);
  expect(counters.skipped).toBe(1);
});

describe('a change that is lost while a hole is read, after the reading,', () => {
  let one: Told;
  let held: ReturnType<Stored['hold']>;
  beforeEach(async () => {
    one = told();
    follow(one);
    await turns();
    held = stored.hold();
    stored.seq = 1;
    series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'e', 1)));
    await turns();
    stored.seq = 2;
    held.late();
  });

  test.each([
    ['is read where the connection was lost', () => series.lost()],
    ['is read where the heads differ', () => series.compare('e', 2)],
  ])('%s', async (_, tell) => {
    tell();
    held.answer();
    await turns(10);
    expect(one.seqs()).toEqual(['snapshot', 1, 2]);
  });
});

test('what is no message is refused', async () => {
  series.hear(Buffer.from('{"type":"candle"}'));
  series.hear(Buffer.from('nonsense'));
  expect(refused).toEqual(['{"type":"candle"}', 'nonsense']);
});

test('a message that is cut off is refused, and what it told of is read', async () => {
  const one = told();
  follow(one);
  await turns();
  stored.seq = 1;
  series.hear(message(1).subarray(0, -2));
  await turns();
  expect([one.seqs(), refused.length]).toEqual([['snapshot'], 1]);
  publish(2);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 1, 2]);
});

test('who cannot be told a message as it is, is told what the store says', async () => {
  const [one, chart] = [told(), told()];
  follow(one);
  follow(chart, { from: 'snapshot', rows: 5 }, 'bar');
  await turns();
  stored.seq = 1;
  series.hear(Buffer.from(encodeCandleMessageOf('AAPL', '1m', 'e', 1, '{"seq":')));
  await turns();
  expect(failures.splice(0)).toEqual([expect.any(SyntaxError)]);
  publish(2);
  await turns();
  expect([one.seqs(), chart.seqs()]).toEqual([
    ['snapshot', 1, 2],
    ['snapshot', 'bar', 'bar'],
  ]);
});
