import { waitFor } from '@candlewire/testkit';
import fc from 'fast-check';
import type { Append, Appended, Bus, Journal, JournalHead, ReadEntry } from './bus';

const NOWHERE: JournalHead = { id: '', last: 0 };

/** What every journal promises. Each test takes a partition of its own. */
export function describeJournal(room: () => { one: Bus; two: Bus; empty: () => Promise<void> }): void {
  let partition = 0;
  let journal: Journal;
  let other: Journal;

  beforeEach(() => {
    partition++;
    journal = room().one.journal;
    other = room().two.journal;
  });

  const openOne = async (by: Journal = journal) => (await by.open(partition + 1))[partition]!;

  async function appendOne(known: JournalHead, text: string, bars = 1, by: Journal = journal): Promise<Appended> {
    const [appended] = await by.append([{ partition, known, text, bars }]);
    return appended!;
  }

  async function appendAll(known: JournalHead, texts: readonly string[], bars = 1): Promise<JournalHead> {
    let head = known;
    for (const text of texts) head = (await appendOne(head, text, bars)).head;
    return head;
  }

  async function readAll(by: Journal = journal): Promise<ReadEntry[]> {
    return [...(await by.read(partition, NOWHERE, 1_000_000)).entries];
  }

  const texts = (entries: readonly ReadEntry[]) => entries.map((entry) => entry.text);
  const numbers = (entries: readonly ReadEntry[]) => entries.map((entry) => entry.number);

  describe('journal', () => {
    test('opening makes what is missing and finds what is there', async () => {
      const heads = await journal.open(partition + 1);
      expect(new Set(heads.map(({ id }) => id)).size).toBe(partition + 1);
      expect(heads[partition]).toEqual({ id: expect.stringMatching(/^.{16,}$/), last: 0 });
      expect(await other.open(partition + 1)).toEqual(heads);
      const { head } = await appendOne(heads[partition]!, 'a');
      expect(await openOne(other)).toEqual(head);
    });

    test('entries are numbered from 1, count their bars, and come back as they were', async () => {
      const opened = await openOne();
      const result = await journal.append([
        { partition, known: opened, text: '{"a":"é😀"}', bars: 3 },
        { partition, known: opened, text: '', bars: 0 },
        { partition, known: opened, text: 'c', bars: 2 },
      ]);
      expect(result).toEqual([
        { head: { id: opened.id, last: 1 }, waiting: 3 },
        { head: { id: opened.id, last: 2 }, waiting: 3 },
        { head: { id: opened.id, last: 3 }, waiting: 5 },
      ]);
      expect(await other.read(partition, opened, 10)).toEqual({
        head: { id: opened.id, last: 3 },
        entries: [
          { number: 1, barsTotal: 3, text: '{"a":"é😀"}' },
          { number: 2, barsTotal: 3, text: '' },
          { number: 3, barsTotal: 5, text: 'c' },
        ],
      });
    });

    test('one call serves many partitions, with a result for each entry in its place', async () => {
      const base = partition;
      partition += 2;
      const heads = await journal.open(base + 3);
      const appends: Append[] = [2, 0, 1, 0].map((offset, i) => ({
        partition: base + offset,
        known: heads[base + offset]!,
        text: `${i}`,
        bars: 1,
      }));
      const result = await journal.append(appends);
      expect(result.map(({ head }) => head)).toEqual([
        { id: heads[base + 2]!.id, last: 1 },
        { id: heads[base]!.id, last: 1 },
        { id: heads[base + 1]!.id, last: 1 },
        { id: heads[base]!.id, last: 2 },
      ]);
    });

    test('nothing to append and nothing to publish is no error', async () => {
      expect(await journal.append([])).toEqual([]);
    });

    test('reading goes on behind what was read, in portions, and ends with nothing', async () => {
      const head = await appendAll(await openOne(), ['a', 'b', 'c', 'd', 'e']);
      const portions: string[][] = [];
      let after = { id: head.id, last: 0 };
      for (;;) {
        const { entries } = await other.read(partition, after, 2);
        portions.push(texts(entries));
        if (entries.length === 0) break;
        after = { id: head.id, last: entries.at(-1)!.number };
      }
      expect(portions).toEqual([['a', 'b'], ['c', 'd'], ['e'], []]);
    });

    test('a portion of no entries is refused', async () => {
      await expect(journal.read(partition, NOWHERE, 0)).rejects.toThrow(RangeError);
    });

    test('a reader of another journal starts at the oldest entry and is told which journal it is', async () => {
      const head = await appendAll(await openOne(), ['a', 'b']);
      for (const after of [NOWHERE, { id: 'another', last: 2 }, { id: 'another', last: 77 }]) {
        const result = await other.read(partition, after, 10);
        expect(result.head).toEqual(head);
        expect(texts(result.entries)).toEqual(['a', 'b']);
      }
    });

    test('reading where nothing was ever appended makes the journal', async () => {
      const { head, entries } = await journal.read(partition, NOWHERE, 10);
      expect([head.last, entries]).toEqual([0, []]);
      expect(await openOne(other)).toEqual(head);
    });

    test('several appenders get dense numbers, each keeping its own order', async () => {
      const opened = await openOne();
      const appenders = [journal, other, journal, other];
      await Promise.all(
        appenders.map(async (by, appender) => {
          let known = opened;
          for (let i = 0; i < 50; i++) known = (await appendOne(known, `${appender}:${i}`, 2, by)).head;
        }),
      );
      const entries = await readAll();
      expect(numbers(entries)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
      expect(entries.map(({ barsTotal }) => barsTotal)).toEqual(Array.from({ length: 200 }, (_, i) => 2 * (i + 1)));
      for (const appender of appenders.keys()) {
        const own = texts(entries).filter((text) => text.startsWith(`${appender}:`));
        expect(own).toEqual(Array.from({ length: 50 }, (_, i) => `${appender}:${i}`));
      }
    });

    test('an appender that knows another journal, or none, appends nothing and is told', async () => {
      const head = await appendAll(await openOne(), ['a']);
      for (const known of [NOWHERE, { id: 'another', last: 1 }]) {
        expect(await appendOne(known, 'never')).toEqual({ head, waiting: 1 });
      }
      expect(texts(await readAll())).toEqual(['a']);
    });

    test('in one call an entry is refused alone, and messages go out all the same', async () => {
      const opened = await openOne();
      const got: string[] = [];
      const channel = `beside-${partition}`;
      await room().two.subscribe(channel, (text) => got.push(text));
      const [good, bad] = await journal.append(
        [
          { partition, known: opened, text: 'taken', bars: 1 },
          { partition, known: { id: 'another', last: 0 }, text: 'never', bars: 1 },
        ],
        [
          { channel, text: 'first' },
          { channel, text: 'second' },
        ],
      );
      expect([good!.head.id, good!.head.last, bad!.head.last]).toEqual([opened.id, 1, 1]);
      expect(bad!.head.id).not.toBe('another');
      await waitFor(() => got.length >= 2);
      expect(got).toEqual(['first', 'second']);
    });

    describe('that was emptied', () => {
      test('is noticed by an append, which appends nothing, and by the reader behind it', async () => {
        const known = await appendAll(await openOne(), ['a', 'b']);
        await room().empty();
        const { head, waiting } = await appendOne(known, 'never');
        expect(head.id).not.toBe(known.id);
        expect([head.last, waiting]).toEqual([0, 0]);
        expect(await other.read(partition, known, 10)).toEqual({ head, entries: [] });
        await appendOne(head, 'again');
        const { entries } = await other.read(partition, head, 10);
        expect(entries).toEqual([{ number: 1, barsTotal: 1, text: 'again' }]);
      });

      test('is noticed by a read, and by the appender behind it', async () => {
        const known = await appendAll(await openOne(), ['a', 'b']);
        await room().empty();
        const { head, entries } = await other.read(partition, known, 10);
        expect(head.id).not.toBe(known.id);
        expect([head.last, entries]).toEqual([0, []]);
        expect((await appendOne(known, 'never')).head).toEqual(head);
      });

      test('is noticed where it was made anew and grew longer than before', async () => {
        const known = await appendAll(await openOne(), ['a']);
        await room().empty();
        await appendAll(await openOne(other), ['x', 'y', 'z']);
        expect((await appendOne(known, 'never')).head.id).not.toBe(known.id);
        expect(texts((await journal.read(partition, known, 10)).entries)).toEqual(['x', 'y', 'z']);
      });

      test('has nothing waiting, whatever waited before', async () => {
        await appendAll(await openOne(), ['a', 'b'], 10);
        await room().empty();
        expect(await journal.waiting(partition + 1)).toEqual(Array(partition + 1).fill(0));
      });
    });

    describe('that is shorter than somebody knows', () => {
      test('gets a new id from an append, which appends nothing, keeps its entries and goes on behind them', async () => {
        const head = await appendAll(await openOne(), ['a', 'b', 'c']);
        const renewed = (await appendOne({ id: head.id, last: 4 }, 'never')).head;
        expect(renewed.id).not.toBe(head.id);
        expect(renewed.last).toBe(3);
        const result = await other.read(partition, { id: head.id, last: 3 }, 10);
        expect(result.head).toEqual(renewed);
        expect(texts(result.entries)).toEqual(['a', 'b', 'c']);
        await appendOne(renewed, 'd');
        const next = await other.read(partition, renewed, 10);
        expect(next.entries).toEqual([{ number: 4, barsTotal: 4, text: 'd' }]);
      });

      test('gets a new id from a read, which begins at the oldest entry', async () => {
        const head = await appendAll(await openOne(), ['a', 'b', 'c']);
        const { head: renewed, entries } = await other.read(partition, { id: head.id, last: 5 }, 2);
        expect(renewed.id).not.toBe(head.id);
        expect(texts(entries)).toEqual(['a', 'b']);
        expect(texts((await other.read(partition, { id: renewed.id, last: 2 }, 2)).entries)).toEqual(['c']);
        expect((await appendOne(head, 'never')).head).toEqual(renewed);
      });

      test('and empty still gets another id', async () => {
        const opened = await openOne();
        const { head } = await other.read(partition, { id: opened.id, last: 1 }, 2);
        expect(head.id).not.toBe(opened.id);
        expect(head.last).toBe(0);
      });
    });

    describe('consumption', () => {
      test('bars wait until their entry was consumed', async () => {
        const opened = await openOne();
        expect((await journal.waiting(partition + 1))[partition]).toBe(0);
        await appendAll(opened, ['a', 'b', 'c'], 10);
        const [, second] = await readAll();
        await other.consumed(partition, opened.id, second!);
        expect((await journal.waiting(partition + 1))[partition]).toBe(10);
        expect((await appendOne({ ...opened, last: 3 }, 'd', 5)).waiting).toBe(15);
      });

      test('a stale id, an earlier entry and one that does not exist change nothing', async () => {
        const opened = await openOne();
        await appendAll(opened, ['a', 'b', 'c']);
        const [first, second, third] = await readAll();
        await journal.consumed(partition, opened.id, second!);
        await journal.consumed(partition, 'another', third!);
        await journal.consumed(partition, opened.id, first!);
        await journal.consumed(partition, opened.id, { number: 4, barsTotal: 4, text: '' });
        expect((await journal.waiting(partition + 1))[partition]).toBe(1);
      });

      test('what was not consumed stays, however much it is', async () => {
        const head = await appendAll(await openOne(), ['a', 'b', 'c']);
        const known = Array.from({ length: 3_000 }, (_, i) => ({ partition, known: head, text: `${i}`, bars: 1 }));
        await journal.append(known);
        const third = { number: 3, barsTotal: 3, text: 'c' };
        await journal.consumed(partition, head.id, third);
        const { entries } = await journal.read(partition, { id: head.id, last: 3 }, 10_000);
        expect([entries.length, entries[0]!.number, entries.at(-1)!.text]).toEqual([3_000, 4, '2999']);
      });

      test('a reader that comes back for what is gone finds another journal, from its oldest entry', async () => {
        const opened = await openOne();
        for (let i = 0; i < 3; i++) {
          await journal.append(
            Array.from({ length: 1_000 }, (_, k) => ({ partition, known: opened, text: `${i}:${k}`, bars: 500 })),
          );
        }
        const newest = { number: 2_990, barsTotal: 2_990 * 500, text: '' };
        await journal.consumed(partition, opened.id, newest);
        const oldest = (await journal.read(partition, NOWHERE, 1)).entries[0]!.number;
        expect(oldest).toBeGreaterThan(2);
        expect(oldest).toBeLessThanOrEqual(2_990);
        const still = await journal.read(partition, { id: opened.id, last: oldest - 1 }, 1);
        expect(still.head.id).toBe(opened.id);
        const result = await journal.read(partition, { id: opened.id, last: oldest - 2 }, 3_000);
        expect(result.head).toEqual({ id: expect.not.stringContaining(opened.id), last: 3_000 });
        expect([result.entries[0]!.number, result.entries.at(-1)!.number]).toEqual([oldest, 3_000]);
        expect((await appendOne({ id: opened.id, last: 3_000 }, 'never')).head).toEqual(result.head);
        // The new reader starts over, and so does what it has consumed.
        await journal.consumed(partition, result.head.id, result.entries[0]!);
        expect((await journal.waiting(partition + 1))[partition]).toBe((3_000 - oldest) * 500);
      });
    });

    test('an append wakes who waits for it, until he leaves', async () => {
      const opened = await openOne();
      let woken = 0;
      const off = await other.onAppend(partition, () => woken++);
      await appendOne(opened, 'a');
      await waitFor(() => woken > 0, { what: 'the wake-up' });
      await appendOne(NOWHERE, 'never');
      await off();
      await appendOne(opened, 'b');
      await openOne(other);
      expect(woken).toBe(1);
    });

    test('whatever happens to it, appender and reader end with the same entries or both know of the loss', async () => {
      const step = fc.oneof(
        { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), bars: fc.nat(500) }) },
        { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), max: fc.integer({ min: 1, max: 5 }) }) },
        { weight: 2, arbitrary: fc.constant({ do: 'consume' as const }) },
        { weight: 1, arbitrary: fc.constant({ do: 'empty' as const }) },
        { weight: 1, arbitrary: fc.constant({ do: 'restart appender' as const }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          partition++;
          // What the journal must hold since it last became another one, by number.
          let held: string[] = [];
          let known = await openOne();
          let after = NOWHERE;
          let lastRead: ReadEntry | undefined;
          let texts = 0;
          for (const action of steps) {
            if (action.do === 'append') {
              const text = `${++texts}`;
              const { head } = await appendOne(known, text, action.bars);
              if (head.id === known.id) held.push(text);
              else expect(head.last).toBe(0);
              expect(head.last).toBe(held.length);
              known = head;
            } else if (action.do === 'read') {
              const { head, entries } = await other.read(partition, after, action.max);
              const from = head.id === after.id ? after.last : 0;
              expect(head.last).toBe(held.length);
              expect(entries.map((entry) => [entry.number, entry.text])).toEqual(
                held.slice(from, from + action.max).map((text, i) => [from + i + 1, text]),
              );
              lastRead = entries.at(-1) ?? (head.id === after.id ? lastRead : undefined);
              after = { id: head.id, last: entries.at(-1)?.number ?? from };
            } else if (action.do === 'consume') {
              if (lastRead) await other.consumed(partition, after.id, lastRead);
            } else if (action.do === 'empty') {
              await room().empty();
              held = [];
            } else known = await openOne();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}
