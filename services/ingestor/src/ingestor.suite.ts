import { type Bar, type FeedState, partitionOf } from '@candlewire/contracts';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { createIngestor, type Ingestor, type IngestorOptions } from './ingestor';
import { type ManualTime, manualTime } from './manual-time.suite';
import { RecordingBus } from './recording-bus.suite';
import type { Delivery, Source } from './sources/source';

/** By a clock that no test stops: longer than one may stand still. */
const LEASE_MS = 60_000;
export const CLOCK = Date.UTC(2025, 10, 3, 15);
/** Symbols of three partitions. */
export const [ONE, TWO, THREE] = ['AAPL', 'MSFT', 'SPY'] as const;
export const P1 = partitionOf(ONE);
export const P2 = partitionOf(TWO);

/** A source that delivers what the test hands it: at each play first `script`, then what is pushed. */
export class ScriptedSource implements Source {
  readonly kind = 'replay';
  readonly calendar = 'nyse';
  readonly refused: Record<string, number> = {};
  plays = 0;
  /** Streams that have not ended. */
  open = 0;
  /** Deliveries that were taken of the current play. */
  taken = 0;
  private queue: (Delivery | Error)[];

  constructor(private readonly script: readonly (Delivery | Error)[] = []) {
    this.queue = [...script];
  }

  push(...deliveries: (Delivery | Error)[]): void {
    this.queue.push(...deliveries);
  }

  async *live(signal: AbortSignal): AsyncGenerator<Delivery> {
    if (++this.plays > 1) this.queue = [...this.script];
    this.taken = 0;
    this.open++;
    try {
      while (!signal.aborted) {
        const next = this.queue.shift();
        if (next instanceof Error) throw next;
        if (next === undefined) await new Promise(setImmediate);
        else {
          this.taken++;
          yield next;
        }
      }
    } finally {
      this.open--;
    }
  }
}

export const delivery = (clock: number | null, list: readonly Bar[] = [], state?: FeedState): Delivery =>
  state === undefined ? { clock, bars: list } : { clock, bars: list, state };

export interface Running {
  readonly bus: RecordingBus;
  readonly source: ScriptedSource;
  readonly time: ManualTime;
  readonly ingestor: Ingestor;
  readonly logged: { event: string; fields: Fields }[];
  readonly stop: AbortController;
  readonly run: Promise<void>;
  /** Waits for a condition while time goes on. */
  passes(ms: number, condition: () => boolean): Promise<void>;
}

const started: Running[] = [];
afterEach(async () => {
  for (const { stop, run, bus } of started.splice(0)) {
    bus.blocked = null;
    stop.abort();
    await run.catch(() => {});
  }
});

export function start(source = new ScriptedSource(), options: Partial<IngestorOptions> = {}): Running {
  const bus = (options.bus as RecordingBus) ?? new RecordingBus();
  const time = manualTime();
  const logged: Running['logged'] = [];
  const log = (event: string, fields: Fields = {}) => void logged.push({ event, fields });
  const logger: Logger = { ...silentLogger, error: log, warn: log, info: log };
  const ingestor = createIngestor({
    source,
    bus,
    store: { declare: async (wanted) => ({ ...wanted, epoch: 'e' }) },
    migrate: async () => {},
    prefix: 'test',
    logger,
    time,
    leaseMs: LEASE_MS,
    ...options,
  });
  const stop = new AbortController();
  const run = ingestor.run(stop.signal);
  run.catch(() => {});
  const passes = async (ms: number, condition: () => boolean) => {
    await waitFor(() => {
      time.advance(ms);
      return condition();
    });
  };
  const running = { bus, source, time, ingestor, logged, stop, run, passes };
  started.push(running);
  return running;
}
