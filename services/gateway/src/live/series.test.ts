import { encodeCandleMessageOf, encodeChangedMessage } from '@candlewire/contracts';
import { Change, type SeriesName } from './change';
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

/** A store of one candle for each seq. */
class Stored implements SeriesReader {
  epoch = 'e';
  seq = 0;
  reads = 0;
  /** Called between the reading and the answer. */
  meanwhile: () => void = () => {};

  async changes(after: number): Promise<Changes> {
    this.reads++;
    const { epoch, seq } = this;
    const numbers = Array.from({ length: Math.max(0, seq - after) }, (_, i) => after + i + 1).slice(0, 200);
    this.meanwhile();
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
    const frame = () => Buffer.concat([Buffer.from([0x81, 9]), Buffer.from(`{"rows":${rows}`.slice(0, 9))]);
    return { epoch, seq, frame } as unknown as Snapshot;
  }

  async head() {
    this.reads++;
    return { epoch: this.epoch, seq: this.seq };
  }
}

const candle = (seq: number) => `{"seq":${seq}}`;
const message = (seq: number, epoch = 'e') => Buffer.from(encodeCandleMessageOf('AAPL', '1m', epoch, seq, candle(seq)));

let stored: Stored;
let counters: LiveCounters;
let series: Series;
const refused: string[] = [];
const failures: unknown[] = [];
beforeEach(() => {
  stored = new Stored();
  counters = new LiveCounters();
  refused.length = failures.length = 0;
  series = new Series(NAME, {
    reader: stored,
    flusher: new Flusher(0),
    counters,
    budget: new RecentBudget(),
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
const follow = (who: Told, start: Start = { from: 'snapshot', rows: 5 }) =>
  new SeriesFollower(new Open(series, OPENED, () => {}), who.client, 'candle', start);

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

test('what was read of an epoch that a client meanwhile found to be over is not told', async () => {
  stored.epoch = '';
  const one = told();
  follow(one);
  await turns();
  const changes = stored.changes.bind(stored);
  stored.changes = async (after) => {
    stored.changes = changes;
    const page = await changes(after);
    // Whoever joins now reads the store after the series did, and is answered first.
    series.learn('e', 3);
    await turns();
    return page;
  };
  [stored.epoch, stored.seq] = ['e', 3];
  series.hear(Buffer.from(encodeChangedMessage('AAPL', '1m', 'e', 3)));
  await turns(20);
  publish(4);
  await turns();
  expect(one.seqs()).toEqual(['snapshot', 'reset', 'snapshot', 4]);
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
