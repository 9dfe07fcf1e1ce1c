import { encodeCandleMessageOf } from '@candlewire/contracts';
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
export const turns = async (count = 5) => {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** A store of one candle for each seq, but for those that were removed. */
export class Stored implements SeriesReader {
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
export const message = (seq: number, epoch = 'e') =>
  Buffer.from(encodeCandleMessageOf('AAPL', '1m', epoch, seq, candle(seq)));

// Made anew for each test of a file that imports them.
export let stored: Stored;
export let counters: LiveCounters;
export let series: Series;
export let budget: RecentBudget;
export const refused: string[] = [];
export const failures: unknown[] = [];
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

export interface Told {
  readonly client: LiveClient;
  readonly appends: { seqs: (number | string)[] }[];
  seqs(): (number | string)[];
  isSlow: boolean;
}

export function told(): Told {
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
export const follow = (who: Told, start: Start = { from: 'snapshot', rows: 5 }, format: Format = 'candle') =>
  new SeriesFollower(new Open(series, OPENED, () => {}), who.client, format, start);

/** Commits and publishes. */
export function publish(...seqs: number[]): void {
  for (const seq of seqs) {
    stored.seq = Math.max(stored.seq, seq);
    series.hear(message(seq));
  }
}
