import { type Bar, ENTRY_BARS_MAX, encodeBar, type FeedState, PARTITIONS, partitionOf } from '@candlewire/contracts';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { StoreMismatch, StoreUnavailable } from '@candlewire/store';
import { bar, bars, waitFor } from '@candlewire/testkit';
import { createIngestor, type Ingestor, type IngestorOptions } from './ingestor';
import { WAITING_BARS_MAX } from './journal-writer';
import { type ManualTime, manualTime } from './manual-time.suite';
import { RecordingBus } from './recording-bus.suite';
import type { Delivery, Source } from './sources/source';

const CLOCK = Date.UTC(2025, 10, 3, 15);
/** Symbols of three partitions. */
const [ONE, TWO, THREE] = ['AAPL', 'MSFT', 'SPY'] as const;
const P1 = partitionOf(ONE);
const P2 = partitionOf(TWO);

/** A source that delivers what the test hands it: at each play first `script`, then what is pushed. */
class ScriptedSource implements Source {
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

const delivery = (clock: number | null, list: readonly Bar[] = [], state?: FeedState): Delivery =>
  state === undefined ? { clock, bars: list } : { clock, bars: list, state };

interface Running {
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

function start(source = new ScriptedSource(), options: Partial<IngestorOptions> = {}): Running {
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

describe('entries', () => {
  test('hold each partition its bars in the order of delivery, with the clock of the delivery', async () => {
    const [a1, a2] = bars([1, 2], { symbol: ONE });
    const [b1, b2] = bars([3, 4], { symbol: TWO });
    const { bus, source } = start();
    source.push(delivery(CLOCK, [a2!, b1!, a1!]), delivery(CLOCK + 1, [b2!, a2!]));
    await waitFor(() => bus.entries.length === 4);
    expect(bus.of(P1)).toEqual([
      { partition: P1, clock: CLOCK, bars: [a2, a1] },
      { partition: P1, clock: CLOCK + 1, bars: [a2] },
    ]);
    expect(bus.of(P2)).toEqual([
      { partition: P2, clock: CLOCK, bars: [b1] },
      { partition: P2, clock: CLOCK + 1, bars: [b2] },
    ]);
  });

  test('bars are published in the order of delivery, in the text that the entry holds', async () => {
    const list = [bar({ symbol: TWO }), bar({ symbol: ONE }), bar({ symbol: TWO, rev: 1 })];
    const { bus, source } = start();
    source.push(delivery(CLOCK, list));
    await waitFor(() => bus.published.length === 3);
    expect(bus.published).toEqual(list.map((one) => ({ channel: `test:bars:${one.symbol}`, text: encodeBar(one) })));
  });

  test('hold at most 500 bars, and only the last of a delivery tells the clock, which holds after all of them', async () => {
    const list = bars(
      Array.from({ length: 2 * ENTRY_BARS_MAX + 1 }, (_, index) => index + 1),
      { symbol: ONE },
    );
    const { bus, source } = start();
    source.push(delivery(CLOCK, list));
    await waitFor(() => bus.entries.length === 3);
    expect(bus.entries.map((entry) => [entry.bars.length, entry.clock])).toEqual([
      [ENTRY_BARS_MAX, null],
      [ENTRY_BARS_MAX, null],
      [1, CLOCK],
    ]);
    expect(bus.entries.flatMap((entry) => entry.bars)).toEqual(list);
  });

  test('a full entry is not followed by an empty one', async () => {
    const list = bars(Array(ENTRY_BARS_MAX).fill(1), { symbol: ONE });
    const { bus, source } = start();
    source.push(delivery(CLOCK, list), delivery(CLOCK, [bar({ symbol: TWO })]));
    await waitFor(() => bus.of(P2).length === 1);
    expect(bus.of(P1).map((entry) => entry.bars.length)).toEqual([ENTRY_BARS_MAX]);
  });

  test('a withheld clock stays withheld', async () => {
    const { bus, source } = start();
    source.push(delivery(null, [bar({ symbol: ONE })]));
    await waitFor(() => bus.entries.length === 1);
    expect(bus.entries[0]!.clock).toBeNull();
  });
});

describe('the clock alone', () => {
  test('reaches a partition that got no bars for a second, once, and only one that ever got some', async () => {
    const { bus, source, time, passes } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE }), bar({ symbol: TWO })]));
    await waitFor(() => bus.entries.length === 2);
    source.push(delivery(CLOCK + 60_000, [bar({ symbol: ONE })]));
    await waitFor(() => bus.entries.length === 3);
    time.advance(999);
    await passes(0, () => source.taken === 2);
    expect(bus.entries).toHaveLength(3);
    await passes(500, () => bus.entries.length === 4);
    expect(bus.entries[3]).toEqual({ partition: P2, clock: CLOCK + 60_000, bars: [] });
    const { opened } = bus;
    await passes(500, () => bus.opened > opened + 1);
    expect(bus.entries).toHaveLength(4);
  });

  test('reaches a partition that got its bars before this process began', async () => {
    const bus = new RecordingBus();
    const first = start(new ScriptedSource([delivery(CLOCK, [bar({ symbol: TWO })])]), { bus });
    await waitFor(() => bus.entries.length === 1);
    first.stop.abort();
    await first.run;
    const second = start(new ScriptedSource([delivery(CLOCK + 60_000)]), { bus });
    await second.passes(500, () => bus.entries.length === 2);
    expect(bus.entries[1]).toEqual({ partition: P2, clock: CLOCK + 60_000, bars: [] });
  });

  test('goes along with bars for others', async () => {
    const { bus, source, time } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE }), bar({ symbol: TWO })]));
    await waitFor(() => bus.entries.length === 2);
    time.advance(1_000);
    source.push(delivery(CLOCK + 1, [bar({ symbol: THREE })]));
    await waitFor(() => bus.entries.length === 5);
    expect(bus.of(P1)[1]).toEqual({ partition: P1, clock: CLOCK + 1, bars: [] });
  });

  test('is not told while the source withholds it', async () => {
    const { bus, source, passes } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE })]), delivery(CLOCK + 1, [bar({ symbol: TWO })]), delivery(null));
    await waitFor(() => source.taken === 3);
    const { opened } = bus;
    await passes(500, () => bus.opened > opened + 1);
    expect(bus.entries).toHaveLength(2);
  });

  test('reaches every partition when the source has finished', async () => {
    const { bus, source, ingestor, logged } = start();
    source.refused.not_a_number = 2;
    source.push(delivery(CLOCK, [bar({ symbol: ONE })]), delivery(CLOCK + 86_400_000, [], 'finished'));
    await waitFor(() => bus.entries.length === 1 + PARTITIONS);
    for (let p = 0; p < PARTITIONS; p++)
      expect(bus.of(p).at(-1)).toMatchObject({ clock: CLOCK + 86_400_000, bars: [] });
    await waitFor(() => logged.some(({ event }) => event === 'replay finished'));
    const refused = { not_a_number: 2 };
    expect(ingestor.counters()).toEqual({
      bars: 1,
      entries: 17,
      fenced: 0,
      terms: 1,
      termsLost: 0,
      fills: null,
      refused,
      ticks: 0,
    });
    await waitFor(() => bus.statuses.at(-1)?.state === 'finished');
    expect(bus.statuses.at(-1)).toMatchObject({ bars: 1, refused });
  });
});

describe('back-pressure', () => {
  const crowd = (symbol: string) => Array<Bar>(4_000).fill(bar({ symbol }));

  test('pauses while more than 50,000 bars of a partition wait, and goes on when they are consumed', async () => {
    const source = new ScriptedSource(Array.from({ length: 20 }, (_, n) => delivery(CLOCK + n, crowd(ONE))));
    const { bus, time, ingestor, passes, logged } = start(source);
    const enough = Math.floor(WAITING_BARS_MAX / 4_000) + 1;
    await waitFor(() => ingestor.counters().bars === enough * 4_000);
    for (let i = 0; i < 120; i++) {
      time.advance(100);
      await new Promise(setImmediate);
    }
    expect(ingestor.counters().bars).toBe(enough * 4_000);
    expect(source.taken).toBe(enough + 2);
    expect(logged.map(({ event }) => event)).toContain('paused: bars wait for an aggregator');
    bus.consumeAll();
    await passes(100, () => ingestor.counters().bars === 80_000);
  });

  test('counts what waited before this process began', async () => {
    const bus = new RecordingBus();
    const first = start(new ScriptedSource(Array.from({ length: 13 }, (_, n) => delivery(CLOCK + n, crowd(ONE)))), {
      bus,
    });
    await waitFor(() => first.ingestor.counters().bars === 52_000);
    first.stop.abort();
    await first.run;
    const second = start(new ScriptedSource([delivery(CLOCK, [bar({ symbol: TWO })])]), { bus });
    await waitFor(() => second.source.taken === 1);
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    expect(second.ingestor.counters().bars).toBe(0);
    bus.consumeAll();
    await second.passes(100, () => second.ingestor.counters().bars === 1);
  });

  test('can be stopped in a pause', async () => {
    const source = new ScriptedSource(Array.from({ length: 20 }, (_, n) => delivery(CLOCK + n, crowd(ONE))));
    const { ingestor, stop, run } = start(source);
    await waitFor(() => ingestor.counters().bars > WAITING_BARS_MAX);
    stop.abort();
    await run;
  });
});

describe('another journal', () => {
  const script = [delivery(CLOCK, [bar({ symbol: ONE })]), delivery(CLOCK + 1, [bar({ symbol: TWO })])];
  const finished = [...script, delivery(CLOCK + 2, [], 'finished')];
  const hasFinished = (bus: RecordingBus) => bus.clocks().every((clock) => clock === CLOCK + 2);

  test('found by an append makes the source start again', async () => {
    const { bus, source } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 2);
    bus.flush();
    source.push(delivery(CLOCK + 5, [bar({ symbol: THREE })]));
    await waitFor(() => bus.entries.length === 4);
    expect(source.plays).toBe(2);
    expect(bus.entries.slice(2)).toEqual(bus.entries.slice(0, 2));
  });

  test('is noticed within some seconds by a source that is silent', async () => {
    const { bus, source, passes, logged } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 2);
    bus.flush();
    await passes(500, () => bus.entries.length >= 4);
    expect(source.plays).toBe(2);
    expect(logged.map(({ event }) => event)).toContain('the journal is another one: starting again');
  });

  test('is noticed by a source that has finished, which finishes again', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await waitFor(() => hasFinished(bus));
    bus.flush();
    await passes(500, () => hasFinished(bus));
    expect(source.plays).toBe(2);
    expect(bus.of(P1).filter((entry) => entry.bars.length > 0)).toHaveLength(2);
    await waitFor(() => bus.statuses.at(-1)!.state === 'finished');
  });

  test('is what a journal becomes that lost an entry', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await waitFor(() => hasFinished(bus));
    const [before] = await bus.journal.open(PARTITIONS);
    bus.setBack(0);
    await passes(500, () => source.plays === 2 && hasFinished(bus));
    const [after] = await bus.journal.open(PARTITIONS);
    expect(after!.id).not.toBe(before!.id);
    const { opened } = bus;
    await passes(500, () => bus.opened > opened + 2);
    expect(source.plays).toBe(2);
  });

  test('is none where nothing happened', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await passes(500, () => bus.opened > 3);
    expect(source.plays).toBe(1);
  });
});

describe('the feed status', () => {
  test('is kept at each change and every two seconds', async () => {
    const { bus, source, time, passes } = start();
    await waitFor(() => bus.statuses.length === 1);
    expect(bus.keeps[0]!.channel).toBe('test:status:feed');
    const begin = new Date(time.now()).toISOString().replace('.000', '');
    expect(bus.statuses[0]).toEqual({
      kind: 'replay',
      state: 'connecting',
      last_bar_at: null,
      clock: null,
      updated_at: begin,
      bars: 0,
      refused: {},
    });
    source.push(delivery(CLOCK, [bar({ symbol: ONE })], 'live'));
    await waitFor(() => bus.statuses.length === 2);
    expect(bus.statuses[1]).toMatchObject({ state: 'live', last_bar_at: begin, clock: '2025-11-03T15:00:00Z' });
    await passes(2_000, () => bus.statuses.length === 3);
    expect(bus.statuses[2]).toMatchObject({ state: 'live', last_bar_at: begin });
    expect(Date.parse(bus.statuses[2]!.updated_at) - Date.parse(begin)).toBeGreaterThanOrEqual(2_000);
  });

  test('says why a source failed, withholds its clock, and the ingestor stays', async () => {
    const { bus, source, logged, passes } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE })], 'live'), new Error('unknown header'));
    await waitFor(() => bus.statuses.at(-1)!.state === 'failed');
    expect(bus.statuses.at(-1)).toMatchObject({ reason: 'unknown header', clock: null });
    expect(logged).toContainEqual({ event: 'the source failed', fields: { reason: 'unknown header' } });
    const { opened } = bus;
    await passes(500, () => bus.opened > opened);
    expect(source.plays).toBe(1);
  });

  test.each([
    ['live', 'connecting'],
    ['finished', 'finished'],
  ] as const)('of a source that was %s is %s once the ingestor has stopped', async (before, after) => {
    const { bus, source, stop, run } = start();
    source.push(delivery(CLOCK, [bar()], before));
    await waitFor(() => bus.statuses.at(-1)?.state === before);
    stop.abort();
    await run;
    expect(bus.statuses.at(-1)!.state).toBe(after);
  });
});

describe('servers that are away', () => {
  test('a bus: what could not be appended is appended when it is back', async () => {
    const { bus, source, logged } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE })]));
    await waitFor(() => bus.entries.length === 1);
    bus.away = true;
    source.push(delivery(CLOCK + 1, [bar({ symbol: ONE })]));
    await waitFor(() => logged.some(({ event }) => event === 'the bus is away'));
    bus.away = false;
    await waitFor(() => bus.entries.length === 2);
    expect(source.plays).toBe(1);
  });

  test('a bus at the start is waited for', async () => {
    const bus = new RecordingBus();
    bus.away = true;
    const { logged } = start(new ScriptedSource([delivery(CLOCK, [bar()])]), { bus });
    await waitFor(() => logged.some(({ event }) => event === 'the bus is away'));
    bus.away = false;
    await waitFor(() => bus.entries.length === 1);
  });

  test('a store is waited for before anything is said on the bus', async () => {
    let tries = 0;
    const migrate = async () => {
      if (++tries < 3) throw new StoreUnavailable(new Error('starting up'));
    };
    const wanted: unknown[] = [];
    const declare = async (identity: { source: 'replay'; calendar: 'nyse'; partitions: number }) => {
      expect(bus.keeps).toEqual([]);
      wanted.push(identity);
      return { ...identity, epoch: 'e' };
    };
    const bus = new RecordingBus();
    start(new ScriptedSource([delivery(CLOCK, [bar()])]), { bus, migrate, store: { declare: declare as never } });
    await waitFor(() => bus.entries.length === 1);
    expect(wanted).toEqual([{ source: 'replay', calendar: 'nyse', partitions: PARTITIONS }]);
  });

  test('a store of another source ends the run, with nothing said on the bus', async () => {
    const declare = () => Promise.reject(new StoreMismatch('this store is of the simulator'));
    const { bus, run } = start(new ScriptedSource([delivery(CLOCK, [bar()])]), { store: { declare } });
    await expect(run).rejects.toThrow('this store is of the simulator');
    expect(bus.keeps).toEqual([]);
    expect(bus.entries).toEqual([]);
  });

  test('none of them keeps the ingestor from stopping', async () => {
    const migrate = () => Promise.reject(new StoreUnavailable(new Error('away')));
    const one = start(undefined, { migrate });
    await waitFor(() => one.logged.some(({ event }) => event === 'waiting for the store'));
    one.stop.abort();
    await one.run;

    const two = start(new ScriptedSource([delivery(CLOCK, [bar()])]));
    two.bus.away = true;
    await waitFor(() => two.logged.some(({ event }) => event === 'the bus is away'));
    two.stop.abort();
    await two.run;
  });
});

describe('another ingestor that leads', () => {
  const script = [delivery(CLOCK, [bar({ symbol: ONE })], 'live')];

  test('has this one touch neither its source nor the bus', async () => {
    const bus = new RecordingBus();
    bus.token = '1:another';
    const { source, logged, passes } = start(new ScriptedSource(script), { bus });
    await waitFor(() => logged.some(({ event }) => event === 'standby: another ingestor leads'));
    let passed = 0;
    await passes(500, () => ++passed > 10);
    expect([source.plays, bus.opened, bus.keeps, bus.entries]).toEqual([0, 0, [], []]);
  });

  test('is found out by an append: the source is closed, nothing is said, until this one leads again', async () => {
    const { bus, source, ingestor, logged, passes } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 1 && bus.statuses.at(-1)!.state === 'live');
    expect(ingestor.standing()).toEqual({ leads: true, queued: null, leftOut: 0 });
    const own = bus.token;
    bus.token = '2:another';
    const said = bus.keeps.length;
    source.push(delivery(CLOCK + 1, [bar({ symbol: TWO })]));
    await waitFor(() => logged.some(({ event }) => event === 'standby: another ingestor leads'));
    expect([bus.fenced, bus.entries.length, bus.published.length, bus.keeps.length]).toEqual([1, 1, 1, said]);
    expect(source.open).toBe(0);
    expect(logged).toContainEqual({
      event: 'no longer leader',
      fields: { token: own, reason: 'an append was refused' },
    });
    expect(ingestor.counters()).toMatchObject({ fenced: 1, terms: 1, termsLost: 1 });
    expect(ingestor.standing()).toEqual({ leads: false, queued: null, leftOut: null });
    bus.token = null;
    await passes(500, () => bus.entries.length === 2);
    expect([source.plays, source.open]).toEqual([2, 1]);
    expect(ingestor.counters()).toMatchObject({ fenced: 1, terms: 2, termsLost: 1 });
    expect(ingestor.standing().leads).toBe(true);
    await waitFor(() => bus.statuses.at(-1)!.state === 'live');
  });

  test('may have got another journal meanwhile, which is told', async () => {
    const { bus, logged, passes } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 1);
    bus.flush();
    bus.token = null;
    await passes(500, () => bus.entries.length === 2);
    expect(logged.map(({ event }) => event)).toContain('the journal is another one: starting again');
  });
});

test('a stop lets go of the lead after the last word', async () => {
  const { bus, source, stop, run } = start();
  source.push(delivery(CLOCK, [bar()], 'live'));
  await waitFor(() => bus.statuses.at(-1)?.state === 'live');
  stop.abort();
  await run;
  expect([bus.token, bus.statuses.at(-1)!.state]).toEqual([null, 'connecting']);
});

test('a stop lets the append that is under way end', async () => {
  const { bus, source, ingestor, stop, run } = start();
  let unblock = () => {};
  await waitFor(() => source.plays === 1);
  bus.blocked = new Promise((resolve) => {
    unblock = resolve;
  });
  source.push(delivery(CLOCK, [bar()]));
  await waitFor(() => bus.entries.length === 1);
  let over = false;
  const end = run.then(() => {
    over = true;
  });
  stop.abort();
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  expect(over).toBe(false);
  unblock();
  await end;
  expect(ingestor.counters().bars).toBe(1);
});
