/** Channels of which each symbol gets all; where a feed has not all of them, the last is given up first. */
export type StreamChannel = 'bars' | 'updatedBars' | 'trades';

/** Symbols in one request. */
const REQUEST_SYMBOLS_MAX = 500;
/** So many refusals of single symbols in a row mean that the next one will be refused as well. */
const REFUSALS_MAX = 3;

/** One message to the server; the answer is awaited before the next one. */
export interface Request {
  readonly action: 'subscribe' | 'unsubscribe';
  readonly channels: readonly StreamChannel[];
  readonly symbols: readonly string[];
}

/** Symbols of a channel that the server says are subscribed. */
export type Acknowledged = Readonly<Partial<Record<StreamChannel, readonly string[]>>>;

export interface SubscriptionsOptions {
  /** Symbols that may be subscribed at once. */
  readonly max: number;
  readonly channels: readonly StreamChannel[];
  /** So long after its refusal a symbol is asked for again. */
  readonly symbolMs: number;
  /** A request at which the server failed is made again. */
  readonly errorMs: number;
}

/**
 * What is to be subscribed, what the server says is, and the next request that brings them together. The wish is the
 * truth; of what the server has, only its last acknowledgement counts.
 *
 * A request is refused as a whole, whichever of its symbols was too much. So it is made again with half of them, down to the
 * one that is at fault: that one is left out for a while, and all others keep their places, also on the next connection.
 * Where one after the other is refused, the limit is reached, and nothing is asked for until there is room.
 */
export interface Subscriptions {
  /** @param symbols the most important first; the same array means the same wish */
  want(symbols: readonly string[]): void;
  isWanted(symbol: string): boolean;
  /** A new connection, on which nothing is subscribed. */
  opened(): void;
  /** What to ask for now, once no request is under way; it is then. null: nothing. */
  next(now: number): Request | null;
  acknowledged(by: Acknowledged, now: number): void;
  /** The request under way was refused. @param code of the protocol; undefined where it is not known */
  refused(code: number | undefined, now: number): void;
  /** When the request under way was made; null: there is none. */
  askedAt(): number | null;
  /** All that can be had is had. */
  isSettled(now: number): boolean;
  /** Wanted symbols of which everything comes, as the server says. */
  flowing(): readonly string[];
  /** Wanted symbols that are not asked for: beyond the limit, or refused. */
  leftOut(): readonly string[];
}

export function createSubscriptions(options: SubscriptionsOptions): Subscriptions {
  const { max, symbolMs, errorMs } = options;
  let channels = options.channels;
  let wanted: readonly string[] = [];
  let isWanted: ReadonlySet<string> = new Set();
  /** Subscribed to all channels, and to any. */
  let whole: ReadonlySet<string> = new Set();
  let some: ReadonlySet<string> = new Set();
  /** Symbols that were refused, and until when they are not asked for. */
  const outUntil = new Map<string, number>();
  /** What the server goes on to send, though it was told not to. */
  const stuck = new Set<string>();
  let size = REQUEST_SYMBOLS_MAX;
  let refusalsInARow = 0;
  let waitUntil = Number.NEGATIVE_INFINITY;
  let underWay: { readonly request: Request; readonly at: number } | null = null;
  /** As of the last look; null: to be looked at. */
  let target: ReadonlySet<string> | null = null;
  let tryAgainAt = Number.POSITIVE_INFINITY;

  /** The first of those that were not refused, then those that may be tried again, as many as there may be. */
  function targetAt(now: number): ReadonlySet<string> {
    const hopeful = wanted.filter((symbol) => !outUntil.has(symbol)).slice(0, max);
    const again = wanted.filter((symbol) => (outUntil.get(symbol) ?? Number.POSITIVE_INFINITY) <= now);
    return new Set([...hopeful, ...again.slice(0, max - hopeful.length)]);
  }

  function targetNow(now: number): ReadonlySet<string> {
    if (now >= tryAgainAt) target = null;
    if (target !== null) return target;
    for (const symbol of outUntil.keys()) if (!isWanted.has(symbol)) outUntil.delete(symbol);
    target = targetAt(now);
    tryAgainAt = Math.min(...[...outUntil.values()].filter((until) => until > now), Number.POSITIVE_INFINITY);
    return target;
  }

  function plan(now: number): Request | null {
    const goal = targetNow(now);
    const extra = [...some].filter((symbol) => !goal.has(symbol) && !stuck.has(symbol));
    // First of all: it makes room.
    if (extra.length > 0) return { action: 'unsubscribe', channels, symbols: extra.slice(0, REQUEST_SYMBOLS_MAX) };
    if (now < waitUntil) return null;
    const missing: string[] = [];
    for (const symbol of goal) {
      if (!whole.has(symbol)) missing.push(symbol);
      if (missing.length === size) break;
    }
    return missing.length === 0 ? null : { action: 'subscribe', channels, symbols: missing };
  }

  function leaveOut(symbol: string, now: number): void {
    outUntil.set(symbol, now + symbolMs);
    target = null;
    if (++refusalsInARow >= REFUSALS_MAX) waitUntil = now + symbolMs;
  }

  /** Whoever was refused may have found no room. */
  function roomMade(): void {
    outUntil.clear();
    target = null;
    refusalsInARow = 0;
    waitUntil = Number.NEGATIVE_INFINITY;
  }

  return {
    want(symbols) {
      if (symbols === wanted) return;
      wanted = symbols;
      isWanted = new Set(symbols);
      target = null;
    },
    isWanted: (symbol) => isWanted.has(symbol),
    opened() {
      whole = some = new Set();
      stuck.clear();
      underWay = null;
      size = REQUEST_SYMBOLS_MAX;
      // How much room there is has to be found out anew: nothing is subscribed, and nobody must wait for that.
      refusalsInARow = 0;
      waitUntil = Number.NEGATIVE_INFINITY;
    },
    next(now) {
      if (underWay !== null) return null;
      const request = plan(now);
      if (request !== null) underWay = { request, at: now };
      return request;
    },
    acknowledged(by, now) {
      const lists = channels.map((channel) => new Set(by[channel] ?? []));
      whole = new Set([...lists[0]!].filter((symbol) => lists.every((list) => list.has(symbol))));
      some = new Set(channels.flatMap((channel) => by[channel] ?? []));
      if (underWay === null) return;
      const { action, symbols } = underWay.request;
      underWay = null;
      if (action === 'unsubscribe') {
        for (const symbol of symbols) if (some.has(symbol)) stuck.add(symbol);
        roomMade();
        return;
      }
      size = Math.min(2 * size, REQUEST_SYMBOLS_MAX);
      refusalsInARow = 0;
      for (const symbol of symbols) {
        if (!whole.has(symbol)) leaveOut(symbol, now);
        else if (outUntil.delete(symbol)) target = null;
      }
    },
    refused(code, now) {
      if (underWay === null) return;
      const { action, symbols } = underWay.request;
      underWay = null;
      if (action === 'unsubscribe') for (const symbol of symbols) stuck.add(symbol);
      else if (code === 500) waitUntil = now + errorMs;
      else if (code === 410 && channels.length > 1) channels = channels.slice(0, -1);
      else if (symbols.length > 1) size = Math.ceil(symbols.length / 2);
      else leaveOut(symbols[0]!, now);
    },
    askedAt: () => underWay?.at ?? null,
    isSettled: (now) => underWay === null && plan(now) === null && !(refusalsInARow < REFUSALS_MAX && now < waitUntil),
    flowing() {
      const going = underWay?.request.action === 'unsubscribe' ? new Set(underWay.request.symbols) : null;
      return wanted.filter((symbol) => whole.has(symbol) && going?.has(symbol) !== true);
    },
    leftOut() {
      const goal = target ?? targetAt(Number.NEGATIVE_INFINITY);
      const noRoom = refusalsInARow >= REFUSALS_MAX;
      return wanted.filter((symbol) => !goal.has(symbol) || outUntil.has(symbol) || (noRoom && !whole.has(symbol)));
    },
  };
}
