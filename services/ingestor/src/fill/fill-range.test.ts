import { createInProcessBus, type JournalHead } from '@candlewire/bus';
import {
  type Bar,
  channelsOf,
  decodeEntry,
  encodeEntry,
  HOUR_MS,
  MINUTE_MS,
  PARTITIONS,
  partitionOf,
} from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { bars, MONDAY_OPEN, waitFor } from '@candlewire/testkit';
import { createJournalWriter } from '../journal-writer';
import { systemTime, type Time } from '../time';
import { type FillDeps, type FillProgress, fillRange, JournalLost } from './fill-range';

const P = partitionOf('AAPL');
const MINUTES = 1_200;
const all = bars(
  Array.from({ length: MINUTES }, (_, minute) => minute + 1),
  { rev: 4 },
);
const range = { symbol: 'AAPL', from: MONDAY_OPEN, to: MONDAY_OPEN + MINUTES * MINUTE_MS };
const PAGE = 700;
const SECOND_MS = 1_000;

async function setUp() {
  const hub = createInProcessBus({ logger: silentLogger });
  const { journal } = hub.connect();
  const stop = new AbortController();
  let pauses = 0;
  const begun = systemTime.now();
  const time: Time = {
    // Far from the end of a minute, where history waits for the bars of it.
    now: () => MONDAY_OPEN + 10 * SECOND_MS + systemTime.now() - begun,
    elapsedMs: systemTime.elapsedMs,
    pause: (ms, signal) => {
      pauses++;
      return systemTime.pause(ms, signal);
    },
  };
  const writer = createJournalWriter({ journal, channels: channelsOf('test'), time, logger: silentLogger });
  await writer.open(null, stop.signal);
  const asked: number[] = [];
  let counted = 0;
  let turns = 0;
  let now = range.to + HOUR_MS;
  const saved: FillProgress[] = [];
  const deps: FillDeps = {
    async *history(_symbol, from, to) {
      asked.push(from);
      const wanted = all.filter(({ openTime }) => openTime >= from && openTime < to);
      for (let at = 0; at < wanted.length; at += PAGE) {
        const page = wanted.slice(at, at + PAGE);
        yield { bars: page, answeredTo: at + PAGE < wanted.length ? page.at(-1)!.openTime + MINUTE_MS : to };
      }
    },
    writer,
    store: { consumed: async () => committed },
    turn: async () => void turns++,
    time: { now: () => now },
  };
  let committed = { id: '', last: 0 };
  const texts = async () => (await journal.read(P, { id: '', last: 0 }, 100)).entries;
  return {
    journal,
    writer,
    deps,
    asked,
    saved,
    stop,
    counted: () => counted,
    /** How often room for history was waited for. */
    pauses: () => pauses,
    fill: (progress: FillProgress | null = null, change: Partial<FillDeps> = {}) =>
      fillRange(
        range,
        progress,
        async (next, count) => {
          saved.push(next);
          counted += count;
        },
        { ...deps, ...change },
        stop.signal,
      ),
    /** Requests that were made. */
    turns: () => turns,
    setNow: (ms: number) => {
      now = ms;
    },
    /** The owner commits everything that there is. */
    async commit() {
      const { head, entries } = await journal.read(P, { id: '', last: 0 }, 100);
      committed = head;
      if (entries.length > 0) await journal.consumed(P, head.id, entries.at(-1)!);
    },
    entries: async () => (await texts()).map(({ text }) => decodeEntry(text).entry),
  };
}

/** Commits whenever something waits, until what is under way has ended. */
async function consumedMeanwhile<T>(test: Awaited<ReturnType<typeof setUp>>, work: Promise<T>): Promise<T> {
  let ended = false;
  const done = work.finally(() => {
    ended = true;
  });
  done.catch(() => {});
  await waitFor(async () => {
    await test.commit();
    return ended;
  });
  return done;
}

test('a range goes in order into entries of at most 500 bars without a clock', async () => {
  const test = await setUp();
  await consumedMeanwhile(test, test.fill());
  const entries = await test.entries();
  expect(entries.map(({ clock, bars: list }) => [clock, list.length])).toEqual([
    [null, 500],
    [null, 200],
    [null, 500],
  ]);
  expect(entries.flatMap(({ bars: list }): readonly Bar[] => list)).toEqual(all);
  expect(test.counted()).toBe(MINUTES);
});

test('where no live bars flow a page is appended at once, while little enough waits before it', async () => {
  const test = await setUp();
  const other = bars(Array(10_001).fill(1), { symbol: 'AAPL' });
  const [known] = (await test.journal.open(PARTITIONS)).slice(P);
  await test.journal.append(null, [
    { partition: P, known: known!, text: encodeEntry({ clock: null, bars: other }), bars: other.length },
  ]);
  await test.writer.open(null, test.stop.signal);
  const filling = test.fill();
  await waitFor(() => test.pauses() > 1);
  expect(await test.entries()).toHaveLength(1);
  await test.commit();
  await filling;
  // The owner has seen to none of it.
  expect((await test.journal.waiting(PARTITIONS))[P]).toBe(MINUTES);
});

test('while they flow, nothing is appended before what is before it is consumed', async () => {
  const test = await setUp();
  await test.writer.write({ clock: null, bars: bars([1], { symbol: 'AAPL' }) }, test.stop.signal);
  const filling = test.fill();
  await waitFor(() => test.pauses() > 1);
  expect((await test.entries()).map(({ bars: list }) => list.length)).toEqual([1, 500, 200]);
  await consumedMeanwhile(test, filling);
  expect((await test.entries()).map(({ bars: list }) => list.length)).toEqual([1, 500, 200, 500]);
});

test('is stored once its owner has committed the last entry, and only appended before', async () => {
  const test = await setUp();
  expect(
    await consumedMeanwhile(test, test.fill(null, { store: { consumed: async () => ({ id: '', last: 9 }) } })),
  ).toEqual({ state: 'appended' });
  const progress = test.saved.at(-1)! as FillProgress & { journal: JournalHead };
  expect(progress.next).toBe(range.to);
  const consumed = (last: number) => ({ store: { consumed: async () => ({ id: progress.journal.id, last }) } });
  expect(await test.fill(progress, consumed(progress.journal.last - 1))).toEqual({ state: 'appended' });
  expect(await test.fill(progress, consumed(progress.journal.last))).toEqual({ state: 'stored', progress });
  expect(test.asked).toEqual([range.from]);
});

test('goes on where it was left', async () => {
  const test = await setUp();
  await consumedMeanwhile(test, test.fill());
  const half = test.saved[1]!;
  expect(half.next).toBe(all[PAGE]!.openTime);
  await consumedMeanwhile(test, test.fill(half));
  expect(test.asked).toEqual([range.from, half.next]);
});

test('begins anew where the journal is another one', async () => {
  const test = await setUp();
  await consumedMeanwhile(test, test.fill());
  const progress = test.saved.at(-1)!;
  await consumedMeanwhile(test, test.fill({ ...progress, journal: { ...progress.journal!, id: 'lost' } }));
  expect(test.asked).toEqual([range.from, range.from]);
});

test('fails where the journal is lost on the way, be it noticed here or by whoever plays the source', async () => {
  const test = await setUp();
  const heads = [
    { id: 'one', last: 1 },
    { id: 'other', last: 1 },
  ];
  const noticed = { journalOf: () => 'one', appendHistory: async () => ({ journal: heads.shift()!, bars: 500 }) };
  await expect(test.fill(null, { writer: noticed })).rejects.toThrow(JournalLost);
  await expect(test.fill(null, { writer: { ...noticed, appendHistory: async () => null } })).rejects.toThrow(
    JournalLost,
  );
});

test('of which the source has nothing is stored at once', async () => {
  const test = await setUp();
  const nothing = {
    async *history() {
      yield { bars: [], answeredTo: range.to };
    },
  };
  expect(await test.fill(null, nothing)).toMatchObject({
    state: 'stored',
    progress: { next: range.to, journal: null },
  });
  expect(await test.entries()).toEqual([]);
});

test('is interrupted by its signal and not taken for the end', async () => {
  const test = await setUp();
  async function* history() {
    yield { bars: all.slice(0, 1), answeredTo: range.from + MINUTE_MS };
    test.stop.abort();
  }
  expect(await test.fill(null, { history })).toEqual({ state: 'interrupted' });
  expect(test.saved.at(-1)!.next).toBe(range.from + MINUTE_MS);
});

test('makes no request more than there are pages', async () => {
  const test = await setUp();
  await consumedMeanwhile(test, test.fill());
  expect(test.turns()).toBe(Math.ceil(MINUTES / PAGE));
});

test('a page that says nothing yet is a request like any other, and loses nothing', async () => {
  const test = await setUp();
  const history: FillDeps['history'] = async function* (...asked) {
    yield { bars: [], answeredTo: range.from };
    yield* test.deps.history(...asked);
  };
  await consumedMeanwhile(test, test.fill(null, { history }));
  expect(test.turns()).toBe(1 + Math.ceil(MINUTES / PAGE));
  expect(test.saved[0]).toMatchObject({ next: range.from, journal: null, notBefore: 0 });
  expect((await test.entries()).flatMap(({ bars: list }): readonly Bar[] => list)).toEqual(all);
});

test('ends where the source cannot say more yet, and says when to ask for the rest', async () => {
  const test = await setUp();
  const WALL_MS = 16 * MINUTE_MS;
  const behind = range.to - WALL_MS;
  const history: FillDeps['history'] = async function* (_symbol, from) {
    test.asked.push(from);
    yield { bars: all.filter((bar) => bar.openTime >= from && bar.openTime < behind), answeredTo: behind };
  };
  test.setNow(range.to);
  const first = await consumedMeanwhile(test, test.fill(null, { history }));
  const progress = test.saved.at(-1)!;
  expect(progress).toMatchObject({ next: behind, notBefore: range.to + WALL_MS });
  await test.commit();
  // Looked at before then, it is not asked again.
  expect(await test.fill(progress, { history })).toEqual({ state: 'stored', progress });
  expect(first.state).toMatch(/stored|appended/);
  test.setNow(progress.notBefore);
  const rest = await consumedMeanwhile(test, test.fill(progress));
  expect(test.asked).toEqual([range.from, behind]);
  expect(rest).toMatchObject({ state: expect.stringMatching(/stored|appended/) });
  expect(test.saved.at(-1)!.next).toBe(range.to);
});

test('a minute that ended less than 60 s before it was fetched is a first delivery, and asked for once more', async () => {
  const test = await setUp();
  test.setNow(range.to + 59_999);
  await consumedMeanwhile(test, test.fill());
  const bars = (await test.entries()).flatMap(({ bars: list }): readonly Bar[] => list);
  expect(bars.slice(-2).map(({ rev }) => rev)).toEqual([4, 0]);
  expect(test.saved.at(-1)).toMatchObject({ next: range.to - MINUTE_MS, notBefore: expect.any(Number) });
  expect(test.saved.at(-1)!.notBefore).toBeGreaterThanOrEqual(range.to + 60_000);
});
