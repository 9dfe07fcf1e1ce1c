import fc from 'fast-check';
import type { ReadEntry } from './bus';
import { type JournalRoom, NOWHERE, TestPartition, texts } from './test-partition.suite';

/** What every journal promises where something of it is gone. */
export function describeJournalLoss(room: () => JournalRoom, canBeEmptied: boolean): void {
  let p: TestPartition;

  beforeEach(() => {
    p = new TestPartition(room());
  });

  describe('a journal', () => {
    describe('that is shorter than somebody knows', () => {
      test('gets a new id from an append, which appends nothing, keeps its entries and goes on behind them', async () => {
        const head = await p.appendAll(await p.open(), ['a', 'b', 'c']);
        const renewed = (await p.append({ id: head.id, last: 4 }, 'never')).head;
        expect(renewed.id).not.toBe(head.id);
        expect(renewed.last).toBe(3);
        const result = await p.other.read(p.number, { id: head.id, last: 3 }, 10);
        expect(result.head).toEqual(renewed);
        expect(texts(result.entries)).toEqual(['a', 'b', 'c']);
        await p.append(renewed, 'd');
        const next = await p.other.read(p.number, renewed, 10);
        expect(next.entries).toEqual([{ number: 4, barsTotal: 4, text: 'd' }]);
      });

      test('gets a new id from a read, which begins at the oldest entry', async () => {
        const head = await p.appendAll(await p.open(), ['a', 'b', 'c']);
        const { head: renewed, entries } = await p.other.read(p.number, { id: head.id, last: 5 }, 2);
        expect(renewed.id).not.toBe(head.id);
        expect(texts(entries)).toEqual(['a', 'b']);
        expect(texts((await p.other.read(p.number, { id: renewed.id, last: 2 }, 2)).entries)).toEqual(['c']);
        expect((await p.append(head, 'never')).head).toEqual(renewed);
      });

      test('and empty still gets another id', async () => {
        const opened = await p.open();
        const { head } = await p.other.read(p.number, { id: opened.id, last: 1 }, 2);
        expect(head.id).not.toBe(opened.id);
        expect(head.last).toBe(0);
      });
    });

    test('a reader that comes back for what is gone finds another journal, from its oldest entry', async () => {
      const opened = await p.open();
      for (let i = 0; i < 3; i++) {
        await p.journal.append(
          null,
          Array.from({ length: 1_000 }, (_, k) => ({
            partition: p.number,
            known: opened,
            text: `${i}:${k}`,
            bars: 500,
          })),
        );
      }
      const newest = { number: 2_990, barsTotal: 2_990 * 500, text: '' };
      await p.journal.consumed(p.number, opened.id, newest);
      const oldest = (await p.journal.read(p.number, NOWHERE, 1)).entries[0]!.number;
      expect(oldest).toBeGreaterThan(2);
      expect(oldest).toBeLessThanOrEqual(2_990);
      const still = await p.journal.read(p.number, { id: opened.id, last: oldest - 1 }, 1);
      expect(still.head.id).toBe(opened.id);
      const result = await p.journal.read(p.number, { id: opened.id, last: oldest - 2 }, 3_000);
      expect(result.head).toEqual({ id: expect.not.stringContaining(opened.id), last: 3_000 });
      expect([result.entries[0]!.number, result.entries.at(-1)!.number]).toEqual([oldest, 3_000]);
      expect((await p.append({ id: opened.id, last: 3_000 }, 'never')).head).toEqual(result.head);
      // The new reader starts over, and so does what it has consumed.
      expect(await p.waiting()).toBe((3_000 - oldest) * 500);
      await p.journal.consumed(p.number, result.head.id, result.entries[1]!);
      expect(await p.waiting()).toBe((3_000 - oldest - 1) * 500);
    });

    if (canBeEmptied) {
      describe('that was emptied', () => {
        test('is noticed by an append, which appends nothing, and by the reader behind it', async () => {
          const known = await p.appendAll(await p.open(), ['a', 'b']);
          await room().empty!();
          const { head, waiting } = await p.append(known, 'never');
          expect(head.id).not.toBe(known.id);
          expect([head.last, waiting]).toEqual([0, 0]);
          expect(await p.other.read(p.number, known, 10)).toEqual({ head, entries: [] });
          await p.append(head, 'again');
          const { entries } = await p.other.read(p.number, head, 10);
          expect(entries).toEqual([{ number: 1, barsTotal: 1, text: 'again' }]);
        });

        test('is noticed by a read, and by the appender behind it', async () => {
          const known = await p.appendAll(await p.open(), ['a', 'b']);
          await room().empty!();
          const { head, entries } = await p.other.read(p.number, known, 10);
          expect(head.id).not.toBe(known.id);
          expect([head.last, entries]).toEqual([0, []]);
          expect((await p.append(known, 'never')).head).toEqual(head);
        });

        test('is noticed where it was made anew and grew longer than before', async () => {
          const known = await p.appendAll(await p.open(), ['a']);
          await room().empty!();
          await p.appendAll(await p.open(p.other), ['x', 'y', 'z']);
          expect((await p.append(known, 'never')).head.id).not.toBe(known.id);
          expect(texts((await p.journal.read(p.number, known, 10)).entries)).toEqual(['x', 'y', 'z']);
        });

        test('has nothing waiting, whatever waited before', async () => {
          await p.appendAll(await p.open(), ['a', 'b'], 10);
          await room().empty!();
          expect(await p.journal.waiting(p.number + 1)).toEqual(Array(p.number + 1).fill(0));
        });
      });
    }

    test('whatever happens to it, appender and reader end with the same entries or both know of the loss', async () => {
      const step = fc.oneof(
        { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), bars: fc.nat(500) }) },
        { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), max: fc.integer({ min: 1, max: 5 }) }) },
        { weight: 2, arbitrary: fc.constant({ do: 'consume' as const }) },
        { weight: canBeEmptied ? 1 : 0, arbitrary: fc.constant({ do: 'empty' as const }) },
        { weight: 1, arbitrary: fc.constant({ do: 'restart appender' as const }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          p = new TestPartition(room());
          // What the journal must hold since it last became another one, by number.
          let held: string[] = [];
          let known = await p.open();
          let after = NOWHERE;
          let lastRead: ReadEntry | undefined;
          let texts = 0;
          for (const action of steps) {
            if (action.do === 'append') {
              const text = `${++texts}`;
              const { head } = await p.append(known, text, action.bars);
              if (head.id === known.id) held.push(text);
              else expect(head.last).toBe(0);
              expect(head.last).toBe(held.length);
              known = head;
            } else if (action.do === 'read') {
              const { head, entries } = await p.other.read(p.number, after, action.max);
              const from = head.id === after.id ? after.last : 0;
              expect(head.last).toBe(held.length);
              expect(entries.map((entry) => [entry.number, entry.text])).toEqual(
                held.slice(from, from + action.max).map((text, i) => [from + i + 1, text]),
              );
              lastRead = entries.at(-1) ?? (head.id === after.id ? lastRead : undefined);
              after = { id: head.id, last: entries.at(-1)?.number ?? from };
            } else if (action.do === 'consume') {
              if (lastRead) await p.other.consumed(p.number, after.id, lastRead);
            } else if (action.do === 'empty') {
              await room().empty!();
              held = [];
            } else known = await p.open();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}
