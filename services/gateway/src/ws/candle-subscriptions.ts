import { ApiError, INTERVALS, type Interval } from '@candlewire/contracts';
import type { FollowingSeries } from '../live/live';
import { RESET_ROWS, type Start } from '../live/series-follower';
import { ALL, type ClientMessage, intervalsOf, sinceOf, snapshotOf, symbolsOf } from './client-messages';
import { ClientError } from './connection';
import type { Hold } from './demand-leases';
import { followIfRoom, refuseSome, refuseTooMany, type SubscriptionDeps, type Subscriptions } from './subscriptions';

/** Rows of all snapshots of one message. */
const SNAPSHOT_ROWS_MAX = 100_000;

/** What one message asks for. */
interface Request {
  readonly symbols: ReadonlySet<string>;
  readonly intervals: readonly Interval[];
  /** 0: none. */
  readonly rows: number;
  readonly start: Start;
}

/** Which candles one client is told: symbols, `*` among them, at intervals. */
export class CandleSubscriptions implements Subscriptions {
  /** What the client asked for, by interval. */
  private readonly wanted = new Map<Interval, Set<string>>();
  private readonly followed = new Map<Interval, Map<string, FollowingSeries>>();
  private readonly demands = new Map<string, Hold>();
  /** Ends the interest in symbols that appear, by interval. */
  private readonly unfollow = new Map<Interval, () => void>();

  constructor(private readonly deps: SubscriptionDeps) {}

  get size(): number {
    let size = 0;
    for (const symbols of this.wanted.values()) size += symbols.size;
    return size;
  }

  symbols(): string[] {
    return [...this.wanted.values()].flatMap((symbols) => [...symbols]);
  }

  async subscribe(message: ClientMessage): Promise<void> {
    const request = parseRequest(message);
    const { symbols, rows } = request;
    const all = symbols.has(ALL) ? await this.known() : [];
    if (this.deps.connection.hasEnded) return;
    const count = symbols.has(ALL) ? new Set([...all, ...symbols]).size - 1 : symbols.size;
    if (count * request.intervals.length * rows > SNAPSHOT_ROWS_MAX) {
      throw new ClientError('invalid_parameter', `snapshot: more than ${SNAPSHOT_ROWS_MAX} rows in all`);
    }
    this.add(request, all, message);
  }

  unsubscribe(message: ClientMessage): void {
    const symbols = symbolsOf(message);
    for (const interval of intervalsOf(message)) this.drop(interval, symbols);
    this.acknowledge('unsubscribed', message);
  }

  end(): void {
    for (const [interval, symbols] of this.wanted) this.drop(interval, [...symbols]);
  }

  private async known(): Promise<readonly string[]> {
    try {
      return await this.deps.known.all();
    } catch (err) {
      if (!(err instanceof ApiError)) throw err;
      throw new ClientError('unavailable', 'the symbols cannot be had now; try again later');
    }
  }

  private add(request: Request, all: readonly string[], message: ClientMessage): void {
    const { symbols, intervals } = request;
    const added = intervals.map((interval) => [...symbols].filter((symbol) => !this.isWanted(interval, symbol)));
    const more = added.reduce((sum, { length }) => sum + length, 0);
    if (!this.deps.hasRoom(more)) {
      refuseTooMany(this.deps, message);
      return;
    }
    for (const [i, interval] of intervals.entries()) {
      let wanted = this.wanted.get(interval);
      if (wanted === undefined) this.wanted.set(interval, (wanted = new Set()));
      for (const symbol of added[i]!) wanted.add(symbol);
    }
    this.deps.counters.subscriptions.candles += more;
    this.acknowledge('subscribed', message);
    for (const symbol of symbols) {
      if (symbol !== ALL && !this.demands.has(symbol)) this.demands.set(symbol, this.deps.leases.hold(symbol));
    }
    const { id } = message;
    const refused = intervals.flatMap((interval) => this.begin(interval, request, all, id));
    refuseSome(this.deps.connection, [...new Set(refused)], id);
  }

  /** @returns the symbols that cannot be followed */
  private begin(interval: Interval, request: Request, all: readonly string[], id: unknown): string[] {
    const { symbols, rows, start } = request;
    const named = [...new Set([...symbols, ...all])].filter((symbol) => symbol !== ALL);
    const refused = named.filter((symbol) => !this.follow(interval, symbol, start, rows));
    if (!symbols.has(ALL) || this.unfollow.has(interval)) return refused;
    const told = new Set(refused);
    const appeared = (some: readonly string[]): void => {
      // The first time it is all that are known.
      const more = some.filter((symbol) => !told.has(symbol));
      const late = more.filter((symbol) => !this.follow(interval, symbol, { from: 'first' }, 0));
      refuseSome(this.deps.connection, late, id);
    };
    this.unfollow.set(interval, this.deps.known.follow(appeared));
    return refused;
  }

  /** @returns false where it cannot be followed */
  private follow(interval: Interval, symbol: string, start: Start, rows: number): boolean {
    let followed = this.followed.get(interval);
    if (followed === undefined) this.followed.set(interval, (followed = new Map()));
    const known = followed.get(symbol);
    if (known !== undefined) {
      if (rows > 0) known.again(rows);
      return true;
    }
    const { live, connection } = this.deps;
    const following = followIfRoom(() => live.followSeries(connection, { symbol, interval }, 'candle', start));
    if (following !== null) followed.set(symbol, following);
    return following !== null;
  }

  private drop(interval: Interval, symbols: Iterable<string>): void {
    const wanted = this.wanted.get(interval);
    if (wanted === undefined) return;
    for (const symbol of symbols) {
      if (!wanted.delete(symbol)) continue;
      this.deps.counters.subscriptions.candles--;
      if (symbol === ALL) {
        this.unfollow.get(interval)?.();
        this.unfollow.delete(interval);
      } else if (!INTERVALS.some((other) => this.isWanted(other, symbol))) {
        this.demands.get(symbol)?.release();
        this.demands.delete(symbol);
      }
    }
    if (wanted.size === 0) this.wanted.delete(interval);
    if (wanted.has(ALL)) return;
    const followed = this.followed.get(interval);
    for (const [symbol, following] of followed ?? []) {
      if (wanted.has(symbol)) continue;
      following.stop();
      followed!.delete(symbol);
    }
  }

  private isWanted(interval: Interval, symbol: string): boolean {
    return this.wanted.get(interval)?.has(symbol) ?? false;
  }

  private acknowledge(type: 'subscribed' | 'unsubscribed', { id }: ClientMessage): void {
    const symbols = [...new Set(this.symbols())];
    const intervals = INTERVALS.filter((interval) => this.wanted.has(interval));
    this.deps.connection.send(JSON.stringify({ type, id, channel: 'candles', symbols, intervals }));
  }
}

function parseRequest(message: ClientMessage): Request {
  const symbols = symbolsOf(message);
  const intervals = intervalsOf(message);
  const rows = snapshotOf(message);
  const since = sinceOf(message);
  if (since !== null) {
    if (symbols.size > 1 || symbols.has(ALL) || intervals.length > 1) {
      throw new ClientError('invalid_parameter', 'since: goes with one symbol and one interval');
    }
    return { symbols, intervals, rows: 0, start: { from: 'since', ...since, rows: rows ?? RESET_ROWS } };
  }
  const start: Start = rows ? { from: 'snapshot', rows } : { from: 'present' };
  return { symbols, intervals, rows: rows ?? 0, start };
}
