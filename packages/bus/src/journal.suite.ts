import { waitFor } from '@candlewire/testkit';
import type { Append } from './bus';
import { type JournalRoom, NOWHERE, numbers, TestPartition, texts } from './test-partition.suite';

/** What every journal promises while nothing goes wrong. */
export function describeJournal(room: () => JournalRoom): void {
  let p: TestPartition;

  beforeEach(() => {
    p = new TestPartition(room());
  });

  describe('journal', () => {
    test('opening makes what is missing and finds what is there', async () => {
      const heads = await p.journal.open(p.number + 1);
      expect(new Set(heads.map(({ id }) => id)).size).toBe(p.number + 1);
      expect(heads[p.number]).toEqual({ id: expect.stringMatching(/^.{16,}$/), last: 0 });
      expect(await p.other.open(p.number + 1)).toEqual(heads);
      const { head } = await p.append(heads[p.number]!, 'a');
      expect(await p.open(p.other)).toEqual(head);
    });

    test('entries are numbered from 1, count their bars, and come back as they were', async () => {
      const opened = await p.open();
      const result = await p.journal.append(null, [
        { partition: p.number, known: opened, text: '{"a":"é😀"}', bars: 3 },
        { partition: p.number, known: opened, text: '', bars: 0 },
        { partition: p.number, known: opened, text: 'c', bars: 2 },
      ]);
      expect(result).toEqual([
        { head: { id: opened.id, last: 1 }, waiting: 3 },
        { head: { id: opened.id, last: 2 }, waiting: 3 },
        { head: { id: opened.id, last: 3 }, waiting: 5 },
      ]);
      expect(await p.other.read(p.number, opened, 10)).toEqual({
        head: { id: opened.id, last: 3 },
        entries: [
          { number: 1, barsTotal: 3, text: '{"a":"é😀"}' },
          { number: 2, barsTotal: 3, text: '' },
          { number: 3, barsTotal: 5, text: 'c' },
        ],
      });
    });

    test('one call serves many partitions, with a result for each entry in its place', async () => {
      const all = [p, new TestPartition(room()), new TestPartition(room())] as const;
      const heads = await Promise.all(all.map((one) => one.open()));
      const appends: Append[] = [2, 0, 1, 0].map((index, i) => ({
        partition: all[index]!.number,
        known: heads[index]!,
        text: `${i}`,
        bars: 1,
      }));
      const result = await p.journal.append(null, appends);
      expect(result.map(({ head }) => head)).toEqual([
        { id: heads[2]!.id, last: 1 },
        { id: heads[0]!.id, last: 1 },
        { id: heads[1]!.id, last: 1 },
        { id: heads[0]!.id, last: 2 },
      ]);
    });

    test('nothing to append and nothing to publish is no error', async () => {
      expect(await p.journal.append(null, [])).toEqual([]);
    });

    test('reading goes on behind what was read, in portions, and ends with nothing', async () => {
      const head = await p.appendAll(await p.open(), ['a', 'b', 'c', 'd', 'e']);
      const portions: string[][] = [];
      let after = { id: head.id, last: 0 };
      for (;;) {
        const { entries } = await p.other.read(p.number, after, 2);
        portions.push(texts(entries));
        if (entries.length === 0) break;
        after = { id: head.id, last: entries.at(-1)!.number };
      }
      expect(portions).toEqual([['a', 'b'], ['c', 'd'], ['e'], []]);
    });

    test('a portion of no entries is refused', async () => {
      await expect(p.journal.read(p.number, NOWHERE, 0)).rejects.toThrow(RangeError);
    });

    test('a reader of another journal starts at the oldest entry and is told which journal it is', async () => {
      const head = await p.appendAll(await p.open(), ['a', 'b']);
      for (const after of [NOWHERE, { id: 'another', last: 2 }, { id: 'another', last: 77 }]) {
        const result = await p.other.read(p.number, after, 10);
        expect(result.head).toEqual(head);
        expect(texts(result.entries)).toEqual(['a', 'b']);
      }
    });

    test('reading where nothing was ever appended makes the journal', async () => {
      const { head, entries } = await p.journal.read(p.number, NOWHERE, 10);
      expect([head.last, entries]).toEqual([0, []]);
      expect(await p.open(p.other)).toEqual(head);
    });

    test('several appenders get dense numbers, each keeping its own order', async () => {
      const opened = await p.open();
      const appenders = [p.journal, p.other, p.journal, p.other];
      await Promise.all(
        appenders.map(async (by, appender) => {
          let known = opened;
          for (let i = 0; i < 50; i++) known = (await p.append(known, `${appender}:${i}`, 2, by)).head;
        }),
      );
      const entries = await p.readAll();
      expect(numbers(entries)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
      expect(entries.map(({ barsTotal }) => barsTotal)).toEqual(Array.from({ length: 200 }, (_, i) => 2 * (i + 1)));
      for (const appender of appenders.keys()) {
        const own = texts(entries).filter((text) => text.startsWith(`${appender}:`));
        expect(own).toEqual(Array.from({ length: 50 }, (_, i) => `${appender}:${i}`));
      }
    });

    test('an appender that knows another journal, or none, appends nothing and is told', async () => {
      const head = await p.appendAll(await p.open(), ['a']);
      for (const known of [NOWHERE, { id: 'another', last: 1 }]) {
        expect(await p.append(known, 'never')).toEqual({ head, waiting: 1 });
      }
      expect(texts(await p.readAll())).toEqual(['a']);
    });

    test('in one call an entry is refused alone, and messages go out all the same', async () => {
      const opened = await p.open();
      const got: string[] = [];
      const channel = `beside-${p.number}`;
      await room().two.subscribe(channel, (text) => got.push(text));
      const [good, bad] = await p.journal.append(
        null,
        [
          { partition: p.number, known: opened, text: 'taken', bars: 1 },
          { partition: p.number, known: { id: 'another', last: 0 }, text: 'never', bars: 1 },
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

    describe('consumption', () => {
      test('bars wait until their entry was consumed', async () => {
        const opened = await p.open();
        expect(await p.waiting()).toBe(0);
        await p.appendAll(opened, ['a', 'b', 'c'], 10);
        const [, second] = await p.readAll();
        await p.other.consumed(p.number, opened.id, second!);
        expect(await p.waiting()).toBe(10);
        expect((await p.append({ ...opened, last: 3 }, 'd', 5)).waiting).toBe(15);
      });

      test('a stale id, an earlier entry and one that does not exist change nothing', async () => {
        const opened = await p.open();
        await p.appendAll(opened, ['a', 'b', 'c']);
        const [first, second, third] = await p.readAll();
        await p.journal.consumed(p.number, opened.id, second!);
        await p.journal.consumed(p.number, 'another', third!);
        await p.journal.consumed(p.number, opened.id, first!);
        await p.journal.consumed(p.number, opened.id, { number: 4, barsTotal: 4, text: '' });
        expect(await p.waiting()).toBe(1);
      });

      test('what was not consumed stays, however much it is', async () => {
        const head = await p.appendAll(await p.open(), ['a', 'b', 'c']);
        const known = Array.from({ length: 3_000 }, (_, i) => ({
          partition: p.number,
          known: head,
          text: `${i}`,
          bars: 1,
        }));
        await p.journal.append(null, known);
        const third = { number: 3, barsTotal: 3, text: 'c' };
        await p.journal.consumed(p.number, head.id, third);
        const { entries } = await p.journal.read(p.number, { id: head.id, last: 3 }, 10_000);
        expect([entries.length, entries[0]!.number, entries.at(-1)!.text]).toEqual([3_000, 4, '2999']);
      });
    });

    test('an append wakes who waits for it, until he leaves', async () => {
      const opened = await p.open();
      let woken = 0;
      const off = await p.other.onAppend(p.number, () => woken++);
      await p.append(opened, 'a');
      await waitFor(() => woken > 0, { what: 'the wake-up' });
      await p.append(NOWHERE, 'never');
      await off();
      await p.append(opened, 'b');
      await p.open(p.other);
      expect(woken).toBe(1);
    });
  });
}
