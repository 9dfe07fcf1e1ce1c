import type { Bus } from '@candlewire/bus';
import type { CalendarKind, MarketCalendar } from '@candlewire/candles';
import { type FeedState, type FeedStatus, PARTITIONS, type ReadyChecks, type SourceKind } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import { within } from '../deadline';
import type { FeedWatch } from './feed-watch';
import { judgeFeed } from './judge-feed';

/** No check takes longer; what does not answer by then counts as away. */
const CHECK_MS = 1_000;
/** For so long a report stands: however many probes there are, the servers are asked once. */
const REPORT_MS = 1_000;

export type Calendars = Readonly<Record<CalendarKind, MarketCalendar>>;

export interface ReadinessDeps {
  readonly store: Pick<Store, 'ping' | 'identity' | 'owned'>;
  readonly bus: Pick<Bus, 'kind' | 'ping'>;
  readonly feed: Pick<FeedWatch, 'news'>;
  readonly calendars: Calendars;
  readonly logger: Logger;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
}

export interface Report {
  readonly ready: boolean;
  readonly checks: ReadyChecks;
  readonly source: {
    readonly kind: SourceKind | null;
    readonly state: FeedState;
    readonly reason?: string;
    /** Symbols that are wanted and not delivered; absent where there are none. */
    readonly left_out?: readonly string[];
  };
}

/** Looks at everything that an answer of this gateway depends on. */
export interface Readiness {
  /** Never rejects, and takes two seconds at the most, whatever is away. */
  report(): Promise<Report>;
  /** From now on not ready, at once: the gateway is about to go. */
  leave(): void;
}

export function createReadiness(deps: ReadinessDeps): Readiness {
  const { logger } = deps;
  let latest: Promise<Report> | null = null;
  let staleFrom = 0;
  let wasReady: boolean | null = null;
  let leaving = false;

  async function look(): Promise<Report> {
    const report = await inspect(deps);
    if (report.ready !== wasReady) {
      wasReady = report.ready;
      if (report.ready) logger.info('ready');
      else logger.warn('not ready', { failing: failing(report.checks) });
    }
    return report;
  }

  return {
    async report() {
      if (latest === null || performance.now() >= staleFrom) {
        // Nobody looks a second time while somebody looks.
        staleFrom = Number.POSITIVE_INFINITY;
        latest = look().finally(() => {
          staleFrom = performance.now() + REPORT_MS;
        });
      }
      const report = await latest;
      return leaving ? { ...report, ready: false } : report;
    },
    leave() {
      leaving = true;
    },
  };
}

async function inspect({ store, bus, feed, calendars, now }: ReadinessDeps): Promise<Report> {
  const [postgres, redis] = await Promise.all([
    orElse(false, () => store.ping(CHECK_MS)),
    orElse(false, () => bus.ping(CHECK_MS)),
  ]);
  // A server that hangs is asked no more: what waits for it would take the connections from everybody else.
  const [identity, owned] = postgres
    ? await Promise.all([orElse(null, () => store.identity()), orElse(0, () => store.owned())])
    : [null, 0];
  const news = feed.news();
  const said = news?.status;
  const verdict = judgeFeed(news, now(), identity === null ? null : calendars[identity.calendar]);
  const checks: ReadyChecks = {
    postgres: { ok: postgres },
    redis: { ok: redis, bus: bus.kind },
    aggregator: { ok: owned > 0, owned, partitions: identity?.partitions ?? PARTITIONS },
    feed: verdict,
  };
  return {
    ready: failing(checks).length === 0,
    checks,
    source: {
      kind: said?.kind ?? identity?.source ?? null,
      state: verdict.state,
      // Of a state that is old everything else is, too.
      ...(said?.state === verdict.state && detailsOf(said)),
    },
  };
}

function detailsOf({ reason, left_out = [] }: FeedStatus): Pick<Report['source'], 'reason' | 'left_out'> {
  return { ...(reason !== undefined && { reason }), ...(left_out.length > 0 && { left_out }) };
}

function failing(checks: ReadyChecks): string[] {
  return Object.entries(checks)
    .filter(([, check]) => !check.ok)
    .map(([name]) => name);
}

async function orElse<T>(away: T, act: () => Promise<T>): Promise<T> {
  try {
    return await within(CHECK_MS, act);
  } catch {
    return away;
  }
}
