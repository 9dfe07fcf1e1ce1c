import { FEED_STATES, type FeedStatus } from '@candlewire/contracts';
import type { Metrics } from '@candlewire/runtime';
import type { FeedWatch } from '../health/feed-watch';

/** Reasons are the ingestor's; a publisher gone wrong must not fill anybody's memory with them. */
const REASONS_MAX = 64;

/** What the ingestor says of its source, as it was last heard here. Nothing of it before that. */
export function tellFeed(metrics: Metrics, feed: Pick<FeedWatch, 'news'>, now: () => number): void {
  const status = (): FeedStatus | undefined => feed.news()?.status;
  metrics.gaugeBy('state', 'gateway_feed_state', 'State of the source: 1 for the one that it is in.', () => {
    const state = status()?.state;
    return state === undefined ? {} : Object.fromEntries(FEED_STATES.map((one) => [one, one === state ? 1 : 0]));
  });
  metrics.gauge('gateway_feed_age_seconds', 'Age of the last word of the ingestor.', () => {
    const saidAt = status()?.updated_at;
    return saidAt === undefined ? null : Math.max(0, now() - Date.parse(saidAt)) / 1_000;
  });
  metrics.gauge(
    'gateway_feed_bars',
    'Bars that the ingestor has appended since its start.',
    () => status()?.bars ?? null,
  );
  metrics.gauge('gateway_feed_left_out', 'Symbols that are wanted and that the source does not deliver.', () => {
    const said = status();
    return said === undefined ? null : (said.left_out?.length ?? 0);
  });
  metrics.gaugeBy('reason', 'gateway_feed_refused', 'What the source refused to take for a bar since then.', () =>
    Object.fromEntries(Object.entries(status()?.refused ?? {}).slice(0, REASONS_MAX)),
  );
}
