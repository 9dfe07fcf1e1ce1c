import { FEED_STATUS_STALE_MS, type FeedState, LEFT_OUT_MAX } from '@candlewire/contracts';
import type { FeedWatch } from '../health/feed-watch';
import { ALL } from './client-messages';
import type { Connection } from './connection';

/** In the other states the source delivers nothing, and has no say in who is left out. */
const DELIVERING: readonly FeedState[] = ['live', 'backfilling', 'finished'];
const NONE = messageOf([]);

/** Symbols that are wanted and that the source does not deliver, as it said last. */
export interface LeftOut {
  readonly symbols: ReadonlySet<string>;
  /** The message that names those of `watched`, ascending; all of them where `*` is watched. */
  messageFor(watched: Iterable<string>): string;
  /** Calls `listener` with the symbols that are left out from now on, or no more, until the returned function was called. */
  follow(listener: (changed: ReadonlySet<string>) => void): () => void;
}

/**
 * Follows the feed. It speaks every two seconds, and nearly always says the same: only a difference reaches the clients. News
 * that is old changes nothing, nor does that of a source that is not live: an ingestor that has just taken over does not know
 * yet what is wanted.
 * @param now wall clock, epoch ms
 */
export function createLeftOut(feed: Pick<FeedWatch, 'onStatus'>, now: () => number): LeftOut {
  const listeners = new Set<(changed: ReadonlySet<string>) => void>();
  let symbols: ReadonlySet<string> = new Set();
  let messageForAll = NONE;

  feed.onStatus(({ state, updated_at, left_out = [] }) => {
    if (!DELIVERING.includes(state) || now() - Date.parse(updated_at) > FEED_STATUS_STALE_MS) return;
    const before = symbols;
    const after = new Set(left_out.slice(0, LEFT_OUT_MAX).sort());
    const changed = new Set([
      ...[...after].filter((symbol) => !before.has(symbol)),
      ...[...before].filter((symbol) => !after.has(symbol)),
    ]);
    if (changed.size === 0) return;
    symbols = after;
    messageForAll = messageOf([...after]);
    for (const listener of listeners) listener(changed);
  });

  return {
    get symbols() {
      return symbols;
    },
    messageFor(watched) {
      if (symbols.size === 0) return NONE;
      const found = new Set<string>();
      for (const symbol of watched) {
        if (symbol === ALL) return messageForAll;
        if (symbols.has(symbol)) found.add(symbol);
      }
      return messageOf([...found].sort());
    },
    follow(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
  };
}

/** What one client is told of it: nothing, as long as nothing that it watches is left out. */
export class LeftOutTeller {
  private told = NONE;

  /** @param watched what the client has subscribed to now, `*` included; a symbol may come several times */
  constructor(
    private readonly connection: Connection,
    private readonly leftOut: LeftOut,
    private readonly watched: () => Iterable<string>,
  ) {
    const unfollow = leftOut.follow((changed) => {
      if (isAnyOf(watched(), changed)) this.update();
    });
    connection.onEnd(unfollow);
  }

  /** The client has subscribed to these. Part of the answer, and so told whether or not it was told before. */
  subscribed(asked: Iterable<string>): void {
    if (isAnyOf(asked, this.leftOut.symbols)) this.tell(this.leftOut.messageFor(this.watched()));
  }

  unsubscribed(): void {
    if (this.told !== NONE) this.update();
  }

  private update(): void {
    const message = this.leftOut.messageFor(this.watched());
    if (message !== this.told) this.tell(message);
  }

  private tell(message: string): void {
    this.told = message;
    this.connection.send(message);
  }
}

function isAnyOf(watched: Iterable<string>, symbols: ReadonlySet<string>): boolean {
  if (symbols.size === 0) return false;
  for (const symbol of watched) if (symbol === ALL || symbols.has(symbol)) return true;
  return false;
}

function messageOf(symbols: readonly string[]): string {
  return JSON.stringify({ type: 'left_out', symbols });
}
