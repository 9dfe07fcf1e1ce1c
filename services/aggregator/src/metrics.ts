import type { Histogram, Metrics } from '@candlewire/runtime';
import type { AggregatorCounters } from './counters';

/** What is measured as it happens: once for each commit. */
export interface Timings {
  /** From the commit's sending to its answer. */
  readonly commit: Histogram;
  /** From the answer until the bus has taken all messages of the commit, repeated attempts included. */
  readonly publish: Histogram;
}

export interface Measured {
  readonly counters: AggregatorCounters;
  /** Of the partitions held now. */
  readonly behindMs: () => ReadonlyMap<number, number>;
}

/** Everything that an aggregator tells Prometheus; listed in docs/operations.md. */
export function registerMetrics(metrics: Metrics, { counters, behindMs }: Measured): Timings {
  const name = (rest: string) => `aggregator_${rest}`;
  metrics.counter(name('bars_total'), 'Bars read from the journals and worked in.', () => counters.bars);
  metrics.counterBy(
    'reason',
    name('refused_total'),
    'Bars and journal entries that were none, and bars of days that are not kept (too_old), by reason.',
    () => counters.refused,
  );
  metrics.counter(
    name('poisoned_entries_total'),
    'Journal entries given up because they could not be stored.',
    () => counters.poisoned,
  );
  metrics.counter(name('commits_total'), 'Commits.', () => counters.commits);
  metrics.counterBy('interval', name('candles_total'), 'Candles changed by commits.', () => counters.candles);
  metrics.counter(name('messages_total'), 'Candles and prices published.', () => counters.messages);
  metrics.counter(name('ticks_total'), 'Ticks taken for prices.', () => counters.ticks);
  metrics.counter(
    name('rebuilt_candles_total'),
    'Candles that rebuilds compared with what is stored.',
    () => counters.rebuilt,
  );
  metrics.counter(name('corrected_candles_total'), 'Candles that rebuilds corrected.', () => counters.corrected);
  metrics.counter(
    name('deleted_minutes_total'),
    'Minutes deleted because their day is no longer kept.',
    () => counters.deleted,
  );
  metrics.gauge(name('partitions_owned'), 'Partitions held now.', () => behindMs().size);
  metrics.counter(
    name('partitions_lost_total'),
    'Partitions that another owner took away: a lease ran out, or a commit was fenced.',
    () => counters.lost,
  );
  metrics.counter(
    name('partitions_failed_total'),
    'Partitions stopped by an error and taken over anew.',
    () => counters.failed,
  );
  metrics.gaugeBy(
    'partition',
    name('behind_seconds'),
    'Age of the clock up to which candles are committed while entries wait, else 0; by partition held.',
    () => Object.fromEntries([...behindMs()].map(([partition, ms]) => [partition, ms / 1_000])),
  );
  return {
    commit: metrics.seconds(name('commit_seconds'), 'Duration of a commit.'),
    publish: metrics.seconds(name('publish_lag_seconds'), 'From a commit until its messages are published.'),
  };
}
