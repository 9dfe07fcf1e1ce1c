import type { Journal } from '@candlewire/bus';
import { PARTITIONS, type SourceKind } from '@candlewire/contracts';
import type { Metrics } from '@candlewire/runtime';
import type { Counters } from './ingestor';

export interface Measured {
  readonly source: SourceKind;
  readonly counters: () => Counters;
  readonly journal: Pick<Journal, 'waiting'>;
}

/** Everything that an ingestor tells Prometheus; listed in docs/operations.md. */
export function registerMetrics(metrics: Metrics, { source, counters, journal }: Measured): void {
  const name = (rest: string) => `ingestor_${rest}`;
  const bySource = (read: (now: Counters) => number) => () => ({ [source]: read(counters()) });
  const ofFills = (read: (fills: NonNullable<Counters['fills']>) => number) => () => {
    const { fills } = counters();
    return fills === null ? null : read(fills);
  };
  metrics.counterBy(
    'source',
    name('bars_total'),
    'Bars appended to the journals, history included.',
    bySource(({ bars }) => bars),
  );
  metrics.counterBy(
    'reason',
    name('refused_total'),
    'What the source refused to take for a bar, by reason.',
    () => counters().refused,
  );
  metrics.counter(
    name('entries_total'),
    'Journal entries appended, those with a clock alone included.',
    () => counters().entries,
  );
  metrics.counter(name('ticks_total'), 'Ticks published.', () => counters().ticks);
  metrics.counter(
    name('history_bars_total'),
    'Bars of history appended to the journals.',
    ofFills(({ bars }) => bars),
  );
  metrics.counter(
    name('history_ranges_total'),
    'Ranges of history fetched and committed.',
    ofFills(({ ranges }) => ranges),
  );
  metrics.counter(
    name('history_failures_total'),
    'Attempts to fetch a range of history that failed.',
    ofFills(({ failures }) => failures),
  );
  // Asked of the bus, and not known from the last append: nobody is told when an owner has caught up.
  metrics.gaugeBy(
    'partition',
    name('waiting_bars'),
    'Bars in the journal that the owner of the partition has not committed yet.',
    async () => Object.fromEntries((await journal.waiting(PARTITIONS)).entries()),
  );
}
