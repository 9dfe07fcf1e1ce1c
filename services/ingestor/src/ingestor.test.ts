import { type Bar, ENTRY_BARS_MAX, encodeBar, PARTITIONS } from '@candlewire/contracts';
import { bar, bars, waitFor } from '@candlewire/testkit';
import { CLOCK, delivery, ONE, P1, P2, ScriptedSource, start, THREE, TWO } from './ingestor.suite';
import { WAITING_BARS_MAX } from './journal-writer';
import { RecordingBus } from './recording-bus.suite';

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
