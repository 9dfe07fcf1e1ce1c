import { setTimeout as pause } from 'node:timers/promises';
import { nowMs } from './clock';
import type { Market, Numbered } from './market';
import { SYMBOLS } from './seats';

/** So much is committed at a time, at most so long before it is published. */
const CHUNK_MS = 100;
const SLOT_MS = 1;

/** When each message was given to Redis, by its number. */
export type PublishedAt = Map<number, number>;

/**
 * Publishes at a fixed rate, whether or not anybody keeps up: one symbol after the other. What a slot holds was committed
 * before, with its neighbours, since a commit of its own for each would measure Postgres.
 */
export async function publishAtRate(market: Market, perS: number, total: number): Promise<PublishedAt> {
  const publishedAt: PublishedAt = new Map();
  const chunk = (perS * CHUNK_MS) / 1_000;
  let from = 0;
  const commitNext = (): Promise<Numbered[]> => {
    const some = Array.from({ length: Math.min(chunk, total - from) }, (_, i) => SYMBOLS[(from + i) % SYMBOLS.length]!);
    from += some.length;
    return some.length > 0 ? market.commit(some) : Promise.resolve([]);
  };
  let next = commitNext();
  let committed = await next;
  const begin = nowMs();
  for (let published = 0; committed.length > 0; committed = await next) {
    next = commitNext();
    for (let at = 0; at < committed.length; ) {
      const due = Math.floor(((nowMs() - begin) / 1_000) * perS) - published;
      const slot = committed.slice(at, at + Math.max(0, due));
      if (slot.length > 0) {
        const now = nowMs();
        for (const { id } of slot) publishedAt.set(id, now);
        await market.publish(slot);
        at += slot.length;
        published += slot.length;
      }
      await pause(SLOT_MS);
    }
  }
  return publishedAt;
}

export interface HotStream {
  readonly published: () => number;
  stop(): Promise<void>;
}

/** Publishes changes of one symbol, in lots, at about a fixed rate, until it is stopped. */
export function streamHot(market: Market, symbol: string, perS: number, lot: number): HotStream {
  let stopped = false;
  let published = 0;
  async function run(): Promise<void> {
    const begin = nowMs();
    while (!stopped) {
      await market.publish(await market.commit([symbol], lot));
      published += lot;
      const aheadMs = (published / perS) * 1_000 - (nowMs() - begin);
      if (aheadMs > 0) await pause(aheadMs);
    }
  }
  const running = run();
  // Whoever stops it hears of its failure.
  running.catch(() => {});
  return {
    published: () => published,
    stop() {
      stopped = true;
      return running;
    },
  };
}
