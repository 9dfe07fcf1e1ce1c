import type { Bus } from '@candlewire/bus';
import { FeedStatus } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { FeedNews } from './judge-feed';

export interface FeedWatch {
  /** What was last heard, null before. */
  news(): FeedNews | null;
  /** Calls `listener` with each status that is heard. */
  onStatus(listener: (status: FeedStatus) => void): void;
  /** Listens as soon as the bus is there, until {@link stop}. */
  start(): void;
  stop(): void;
}

/** Follows what the ingestor says of its source: the status that is kept, again after the bus was away, and each new one. */
export function createFeedWatch(
  bus: Pick<Bus, 'subscribe' | 'kept' | 'onReconnect'>,
  channel: string,
  logger: Logger,
): FeedWatch {
  const stopped = new AbortController();
  const { signal } = stopped;
  const logRefused = boundedLog(logger, 'feed status refused');
  const listeners: ((status: FeedStatus) => void)[] = [];
  let news: FeedNews | null = null;

  function hear(text: string): void {
    const status = parseStatus(text);
    if (status === null) {
      logRefused({ length: text.length });
      return;
    }
    const isFlowing = status.state === 'live' || status.state === 'backfilling';
    news = { status, liveSince: isFlowing ? (news?.liveSince ?? Date.parse(status.updated_at)) : null };
    for (const listener of listeners) listener(status);
  }

  async function recall(): Promise<void> {
    const before = news;
    const text = await retry(() => bus.kept(channel), { signal });
    // What was published while the answer travelled is newer.
    if (text !== null && news === before) hear(text);
  }

  async function listen(): Promise<void> {
    await bus.subscribe(channel, hear);
    await recall();
  }

  function own(work: Promise<void>): void {
    work.catch((err: unknown) => {
      if (!signal.aborted) logger.error('feed status not followed', { err });
    });
  }

  return {
    news: () => news,
    onStatus: (listener) => void listeners.push(listener),
    start() {
      bus.onReconnect(() => {
        if (!signal.aborted) own(recall());
      });
      own(listen());
    },
    stop: () => stopped.abort(),
  };
}

function parseStatus(text: string): FeedStatus | null {
  try {
    return FeedStatus.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
