import type { Journal } from '@candlewire/bus';
import { PARTITIONS, type SourceKind } from '@candlewire/contracts';
import type { Metrics } from '@candlewire/runtime';
import type { FillsCounters } from './fill/fills';
import type { Ingestor } from './ingestor';

export interface Measured {
  readonly source: SourceKind;
  readonly ingestor: Pick<Ingestor, 'counters' | 'standing'>;
  readonly journal: Pick<Journal, 'waiting'>;
}

/** Everything that an ingestor tells Prometheus; listed in docs/operations.md. */
export function registerMetrics(metrics: Metrics, { source, ingestor, journal }: Measured): void {
  const { counters, standing } = ingestor;
  const name = (rest: string) => `ingestor_${rest}`;
  const bySource = (read: (now: ReturnType<Ingestor['counters']>) => number) => () => ({ [source]: read(counters()) });
  const ofFills = (read: (fills: FillsCounters) => number) => () => {
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
  metrics.gauge(name('leads'), '1 while this ingestor leads, 0 while it stands by.', () => Number(standing().leads));
  metrics.counter(name('terms_total'), 'Times that this ingestor took the lead.', () => counters().terms);
  metrics.counter(
    name('terms_lost_total'),
    'Terms that ended though nobody told the ingestor to stop.',
    () => counters().termsLost,
  );
  metrics.counter(
    name('fenced_appends_total'),
    'Appends refused because another ingestor leads.',
    () => counters().fenced,
  );
  metrics.gauge(
    name('left_out_symbols'),
    'Symbols that are wanted and not delivered; of a leader.',
    () => standing().leftOut,
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
  metrics.counter(
    name('history_requests_total'),
    'Requests made for history.',
    ofFills(({ requests }) => requests),
  );
  metrics.counter(
    name('history_rate_limited_total'),
    'Requests for history to which the source said that it wants to be left alone.',
    ofFills(({ rateLimited }) => rateLimited),
  );
  metrics.gauge(
    name('history_queued_ranges'),
    'Ranges of history that are still to be filled; of a leader.',
    () => standing().queued,
  );
  // Asked of the bus, and not known from the last append: nobody is told when an owner has caught up.
  metrics.gaugeBy(
    'partition',
    name('waiting_bars'),
    'Bars in the journal that the owner of the partition has not committed yet.',
    async () => Object.fromEntries((await journal.waiting(PARTITIONS)).entries()),
  );
}
