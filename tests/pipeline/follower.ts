import type { SeriesMessage } from '@candlewire/contracts';
import type { Store } from '@candlewire/store';
import { Redis } from 'ioredis';
import { headsOf } from './heads';

const CHANGES_MAX = 1_000_000;
const FAULTS_MAX = 10;

/** One series as a subscriber came to know it. */
interface Followed {
  readonly symbol: string;
  readonly interval: SeriesMessage['interval'];
  /** Text of the candle message of each seq. */
  readonly messages: Map<number, string>;
  /** Greatest seq that was heard of. */
  last: number;
  /** Up to these seqs, and from the one known before, a `changed` message pointed at the store. */
  readonly pointers: { readonly after: number; readonly to: number }[];
}

export interface FollowOptions {
  /** Redis was away: what was published meanwhile is missing, and only that. */
  readonly outage?: boolean;
}

/** A subscriber of all candles that remembers what it was told, and what it should not have been told. */
export class Follower {
  readonly series = new Map<string, Followed>();
  /** How many `changed` messages came. */
  changedMessages = 0;
  /** How many messages came again, with the same words. */
  repeats = 0;
  private readonly faults: string[] = [];
  private readonly holes: string[] = [];

  private constructor(private readonly redis: Redis) {
    redis.on('error', () => {});
    redis.on('pmessage', (_pattern, _channel, text: string) => this.hear(text));
  }

  static async start(url: string, prefix: string): Promise<Follower> {
    const follower = new Follower(new Redis(url));
    await follower.redis.psubscribe(`${prefix}:candles:*`);
    return follower;
  }

  async close(): Promise<void> {
    this.redis.disconnect();
  }

  /** Waits until everything is heard that was published before the call. */
  async sync(): Promise<void> {
    await this.redis.ping();
  }

  /** The greatest seq that was heard of, 0 where nothing was. */
  lastOf(symbol: string, interval: string): number {
    return this.series.get(`${symbol} ${interval}`)?.last ?? 0;
  }

  private hear(text: string): void {
    const message = JSON.parse(text) as SeriesMessage;
    const { symbol, interval, seq } = message;
    const name = `${symbol} ${interval}`;
    let series = this.series.get(name);
    if (series === undefined)
      this.series.set(name, (series = { symbol, interval, messages: new Map(), last: 0, pointers: [] }));
    if (message.type === 'changed') {
      this.changedMessages++;
      if (seq > series.last) series.pointers.push({ after: series.last, to: seq });
    } else {
      const before = series.messages.get(seq);
      if (before === undefined) series.messages.set(seq, text);
      else if (before === text) this.repeats++;
      else this.faults.push(`${name} ${seq}: told as ${before} and as ${text}`);
      if (message.candle.seq !== seq) this.faults.push(`${name} ${seq}: the candle says ${message.candle.seq}`);
      if (seq > series.last + 1) this.holes.push(`${name}: ${seq} came after ${series.last}`);
    }
    series.last = Math.max(series.last, seq);
  }

  /**
   * What was told, with the store where a message pointed at it: every seq of every series once and in order (or told
   * again with the same words), no change that the store does not hold, and each candle's last message is what is stored.
   */
  async faultsAgainst(store: Store, options: FollowOptions = {}): Promise<string[]> {
    const faults = [...this.faults, ...(options.outage ? [] : this.holes)];
    for (const { symbol, interval, seq } of await headsOf(store)) {
      const followed = this.series.get(`${symbol} ${interval}`);
      if (followed === undefined) {
        if (!options.outage) faults.push(`${symbol} ${interval}: never heard of`);
        continue;
      }
      const { changes } = await store.changes({ symbol, interval, after: 0, limit: CHANGES_MAX });
      const stored = new Map(changes.map((change) => [change.seq, change.candleJson]));
      faults.push(...seriesFaults(followed, seq, stored, options));
    }
    return faults.slice(0, FAULTS_MAX);
  }
}

function seriesFaults(
  { symbol, interval, messages, last, pointers }: Followed,
  head: number,
  stored: ReadonlyMap<number, string>,
  { outage = false }: FollowOptions,
): string[] {
  const faults: string[] = [];
  const fault = (seq: number, what: string) => faults.push(`${symbol} ${interval} ${seq}: ${what}`);
  if (last > head || (last < head && !outage)) fault(last, `is the last one told, ${head} the last one stored`);
  const newest = new Map<string, number>();
  for (let seq = 1; seq <= head; seq++) {
    const text = messages.get(seq);
    if (text === undefined) {
      if (!outage && !pointers.some(({ after, to }) => after < seq && seq <= to)) fault(seq, 'was never told');
      continue;
    }
    const { candle } = JSON.parse(text) as { candle: { timestamp: string } };
    newest.set(candle.timestamp, seq);
    const row = stored.get(seq);
    if (row !== undefined && !same(candle, JSON.parse(row)))
      fault(seq, `told ${JSON.stringify(candle)}, stored ${row}`);
  }
  const storedAt = new Map(
    [...stored].map(([seq, row]) => [(JSON.parse(row) as { timestamp: string }).timestamp, seq]),
  );
  for (const [timestamp, seq] of newest) {
    const at = storedAt.get(timestamp);
    // A later state may have come by the store alone; an earlier one in the store would be a change that it lost.
    if (at === undefined || at < seq) fault(seq, `told of ${timestamp}, of which the store holds ${at}`);
  }
  return faults;
}

/** Field by field, numbers bit by bit. */
function same(a: object, b: object): boolean {
  const [one, other] = [Object.entries(a), Object.entries(b)];
  return (
    one.length === other.length &&
    one.every(([name, value], i) => name === other[i]![0] && Object.is(value, other[i]![1]))
  );
}
