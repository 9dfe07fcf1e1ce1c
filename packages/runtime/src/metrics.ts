import { Counter, collectDefaultMetrics, Gauge, Histogram as PromHistogram, Registry } from 'prom-client';

const PREFIX = 'candlewire_';
/** What is read from a server must not hold up everything else; longer than that, the metric has no samples this time. */
const READ_MS = 1_000;
/** From half a millisecond, an answer out of memory, to ten seconds, where whatever is asked has been given up. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** null: there is nothing to say now. */
type Reading = number | null;
type Read = () => Reading | Promise<Reading>;
/** By the label's values: a closed set, or one that the code bounds, never what a caller made up. */
type Readings = Readonly<Record<string, number>>;
type ReadBy = () => Readings | Promise<Readings>;

/** Both count from nothing at each reading. */
type Kind = typeof Counter | typeof Gauge;

export interface Histogram {
  /** @param labels values, in the order of the names */
  observe(value: number, ...labels: readonly string[]): void;
}

/**
 * What a process tells Prometheus. Numbers are kept by whoever has them and read when somebody asks, so that counting
 * costs a hot path no more than an addition. Names get the prefix `candlewire_` and begin with the service's, for in
 * `npm start` all services share one of these. Where reading fails, or takes over a second, a metric has no samples.
 */
export interface Metrics {
  /** A number that only grows; its name ends in `_total`. */
  counter(name: string, help: string, read: Read): void;
  counterBy(label: string, name: string, help: string, read: ReadBy): void;
  gauge(name: string, help: string, read: Read): void;
  gaugeBy(label: string, name: string, help: string, read: ReadBy): void;
  /** Durations in seconds: its name ends in `_seconds`. For what happens at most a few thousand times a second. */
  seconds(name: string, help: string, ...labels: readonly string[]): Histogram;
  /** Of {@link text}. */
  readonly contentType: string;
  /** All of it, in Prometheus's text format. */
  text(): Promise<string>;
}

export interface MetricsOptions {
  /** Also the process's own: event-loop lag, heap, garbage collection, CPU. Default true; once in a process is enough. */
  readonly ofProcess?: boolean;
}

export function createMetrics({ ofProcess = true }: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (ofProcess) collectDefaultMetrics({ register: registry });

  function single(Kind: Kind, name: string, help: string, read: Read): void {
    const collect = (): Promise<void> =>
      refresh(read, metric, (value) => {
        // Without labels it stands there by itself, as 0.
        if (value === null) metric.remove();
        else metric.inc(value);
      });
    const metric: Counter | Gauge = new Kind({ name: PREFIX + name, help, registers, collect });
  }
  function labelled(Kind: Kind, label: string, name: string, help: string, read: ReadBy): void {
    const collect = (): Promise<void> =>
      refresh(read, metric, (values) => {
        for (const [key, value] of Object.entries(values ?? {})) metric.labels(key).inc(value);
      });
    const metric: Counter | Gauge = new Kind({ name: PREFIX + name, help, labelNames: [label], registers, collect });
  }

  return {
    counter: (name, help, read) => single(Counter, name, help, read),
    counterBy: (label, name, help, read) => labelled(Counter, label, name, help, read),
    gauge: (name, help, read) => single(Gauge, name, help, read),
    gaugeBy: (label, name, help, read) => labelled(Gauge, label, name, help, read),
    seconds(name, help, ...labelNames) {
      const metric = new PromHistogram({ name: PREFIX + name, help, labelNames, buckets: [...SECONDS], registers });
      return {
        observe(value, ...labels) {
          if (labels.length === 0) metric.observe(value);
          else metric.labels(...labels).observe(value);
        },
      };
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

/** Takes everything and tells nothing: for tests, and whoever was given no other. */
export const silentMetrics: Metrics = {
  counter: () => {},
  counterBy: () => {},
  gauge: () => {},
  gaugeBy: () => {},
  seconds: () => ({ observe: () => {} }),
  contentType: Registry.PROMETHEUS_CONTENT_TYPE,
  text: async () => '',
};

/** The reading comes first: while it is awaited, another scrape may be doing the same to the same metric. */
async function refresh<T>(
  read: () => T | Promise<T>,
  metric: { reset(): void },
  tell: (value: T | null) => void,
): Promise<void> {
  let value: T | null;
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, READ_MS, null);
    });
    value = await Promise.race([read(), late]);
  } catch {
    value = null;
  } finally {
    clearTimeout(timer);
  }
  metric.reset();
  tell(value);
}
