import { encodeCandleMessageOf, encodeChangedMessage } from '@candlewire/contracts';
import { Change, type Format, type SeriesName } from './change';
import { Open } from './channels';
import type { LiveClient } from './client';
import { LiveCounters } from './counters';
import { Flusher } from './flusher';
import { payloadOf } from './frame';
import type { Changes, SeriesReader, Snapshot } from './reader';
import { RecentBudget } from './recent';
import { Series } from './series';
import { SeriesFollower, type Start } from './series-follower';

const NAME: SeriesName = { symbol: 'AAPL', interval: '1m' };
const OPENED = Promise.resolve(async () => {});
const turns = async (count = 5) => {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** A store of one candle for each seq, but for those that were removed. */
class Stored implements SeriesReader {
  epoch = 'e';
  seq = 0;
  reads = 0;
  readonly removed = new Set<number>();
  private answering: Promise<void> = Promise.resolve();
  /** Called between the reading and the answer. */
  meanwhile: () => void = () => {};

  async changes(after: number): Promise<Changes> {
    this.reads++;
    const { epoch, seq } = this;
    const behind = Array.from({ length: Math.max(0, seq - after) }, (_, i) => after + i + 1);
    const numbers = behind.filter((n) => !this.removed.has(n)).slice(0, 200);
    this.meanwhile();
    await this.answering;
    return {
      epoch,
      seq,
      isWhole: numbers.length < 200,
      changes: numbers.map((n) => Change.ofCandle(NAME, epoch, n, candle(n))),
    };
  }

  async snapshot(rows: number): Promise<Snapshot> {
    this.reads++;
    const { epoch, seq } = this;
    this.meanwhile();
    await this.answering;
    const frame = () => Buffer.concat([Buffer.from([0x81, 9]), Buffer.from(`{"rows":${rows}`.slice(0, 9))]);
    return { epoch, seq, frame } as unknown as Snapshot;
  }

  async head() {
    this.reads++;
    return { epoch: this.epoch, seq: this.seq };
  }

  /** What is read from now on, until `late` is called, is answered when `answer` is called. */
  hold(): { late(): void; answer(): void } {
    let answer = (): void => {};
    this.answering = new Promise((resolve) => {
      answer = resolve;
    });
    const late = (): void => {
      this.answering = Promise.resolve();
    };
    return { late, answer };
  }
}

const candle = (seq: number) => `{"timestamp":"2025-11-03T14:30:00Z","seq":${seq}}`;
const message = (seq: number, epoch = 'e') => Buffer.from(encodeCandleMessageOf('AAPL', '1m', epoch, seq, candle(seq)));

let stored: Stored;
let counters: LiveCounters;
let series: Series;
let budget: RecentBudget;
const refused: string[] = [];
const failures: unknown[] = [];
beforeEach(() => {
  stored = new Stored();
  counters = new LiveCounters();
  budget = new RecentBudget();
  refused.length = failures.length = 0;
  series = new Series(NAME, {
    reader: stored,
    flusher: new Flusher(0),
    counters,
    budget,
    onRefused: (text) => refused.push(text),
    onFailure: (err) => failures.push(err),
  });
});
afterEach(() => expect(failures).toEqual([]));

interface Told {
  readonly client: LiveClient;
  readonly appends: { seqs: (number | string)[] }[];
  seqs(): (number | string)[];
  isSlow: boolean;
}

function told(): Told {
  const appends: Told['appends'] = [];
  const append = (frames: Buffer): void => {
    const seqs: (number | string)[] = [];
    for (let at = 0; at < frames.length; ) {
      const payload = payloadOf(frames.subarray(at));
      const length = frames[at + 1] === 126 ? frames.readUInt16BE(at + 2) : frames[at + 1]!;
      const text = payload.subarray(0, length).toString();
      const type = /"type":"(\w+)"/.exec(text)?.[1];
      seqs.push(type === 'candle' ? Number(/"seq":(\d+)/.exec(text)![1]) : (type ?? 'snapshot'));
      at += length + (frames[at + 1] === 126 ? 4 : 2);
    }
    appends.push({ seqs });
  };
  const self: Told = {
    appends,
    seqs: () => appends.flatMap(({ seqs }) => seqs),
    isSlow: false,
    client: {
      outbox: { append },
      isSlow: () => self.isSlow,
      work: {
        add: (task: { step(): Promise<void> }) => void task.step(),
        pace: async (tell: () => void) => tell(),
      },
    } as unknown as LiveClient,
  };
  return self;
}
const follow = (who: Told, start: Start = { from: 'snapshot', rows: 5 }, format: Format = 'candle') =>
  new SeriesFollower(new Open(series, OPENED, () => {}), who.client, format, start);

/** Commits and publishes. */
function publish(...seqs: number[]): void {
  for (const seq of seqs) {
    stored.seq = Math.max(stored.seq, seq);
    series.hear(message(seq));
  }
}

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

test('what is no message is refused', async () => {
  series.hear(Buffer.from('{"type":"candle"}'));
  series.hear(Buffer.from('nonsense'));
  expect(refused).toEqual(['{"type":"candle"}', 'nonsense']);
});

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
