import type { MarketCalendar } from '@candlewire/candles';
import {
  FEED_STATUS_STALE_MS,
  type FeedState,
  type FeedStatus,
  type MarketStatus,
  MINUTE_MS,
} from '@candlewire/contracts';

/** So long an open market may go without a bar. Together with the reporting this stays below four minutes. */
export const SILENCE_MAX_MS = 3 * MINUTE_MS;

/** What was last heard of the feed. */
export interface FeedNews {
  readonly status: FeedStatus;
  /** When bars began to flow (`live`, `backfilling`), as far as somebody was there to hear it, epoch ms; null in other states. */
  readonly liveSince: number | null;
}

export interface FeedVerdict {
  readonly ok: boolean;
  readonly state: FeedState;
  readonly last_bar_at: string | null;
  /** By the clock of the feed where it tells one, else by `now`; null where the calendar is unknown. */
  readonly session: MarketStatus | null;
}

/**
 * Whether the feed is well at `now` (epoch ms, wall clock).
 * @param news null where nothing was ever heard
 * @param calendar of the source; null while it is unknown: then silence is not held against the feed
 */
export function judgeFeed(news: FeedNews | null, now: number, calendar: MarketCalendar | null): FeedVerdict {
  if (news === null) return { ok: false, state: 'connecting', last_bar_at: null, session: sessionAt(now, calendar) };
  const { status } = news;
  const { last_bar_at } = status;
  const session = sessionAt(status.clock === null ? now : Date.parse(status.clock), calendar);
  const stale = now - Date.parse(status.updated_at) > FEED_STATUS_STALE_MS;
  // A finished replay has nothing more to say, ever.
  const state = stale && status.state !== 'finished' ? 'connecting' : status.state;
  return { ok: isWell(state, news, now, calendar), state, last_bar_at, session };
}

function isWell(
  state: FeedState,
  { status, liveSince }: FeedNews,
  now: number,
  calendar: MarketCalendar | null,
): boolean {
  switch (state) {
    case 'finished':
      return true;
    case 'connecting':
    case 'failed':
      return false;
    case 'backfilling':
    case 'live': {
      // How a replay's stretches without trade lie in wall clock time says nothing: it lives as long as it speaks.
      if (status.kind === 'replay' || calendar === null) return true;
      const bar = status.last_bar_at === null ? Number.NEGATIVE_INFINITY : Date.parse(status.last_bar_at);
      const silentMs = now - Math.max(bar, liveSince ?? Number.NEGATIVE_INFINITY);
      return silentMs <= SILENCE_MAX_MS || !isRegularThroughout(now - SILENCE_MAX_MS, now, calendar);
    }
  }
}

/** Nobody can expect bars of minutes before the open: only a silence within one session counts. */
function isRegularThroughout(from: number, to: number, calendar: MarketCalendar): boolean {
  return sessionAt(from, calendar) === 'regular' && sessionAt(to, calendar) === 'regular';
}

function sessionAt(ms: number, calendar: MarketCalendar | null): MarketStatus | null {
  return calendar === null ? null : calendar.statusOf(Math.floor(ms / MINUTE_MS) * MINUTE_MS);
}
