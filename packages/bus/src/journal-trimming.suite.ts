import type { JournalHead } from './bus';
import { KEEP_BARS, KEEP_ENTRIES, TRIM_EVERY } from './limits';
import { type JournalRoom, NOWHERE, TestPartition } from './test-partition.suite';

/** How much of what was consumed every journal keeps. */
export function describeJournalTrimming(room: () => JournalRoom): void {
  let p: TestPartition;

  beforeEach(() => {
    p = new TestPartition(room());
  });

  /** Appends `count` entries of so many bars each. */
  async function fill(count: number, bars = 1): Promise<JournalHead> {
    const known = await p.open();
    const appends = Array.from({ length: count }, (_, i) => ({ partition: p.number, known, text: `${i + 1}`, bars }));
    return (await p.journal.append(null, appends)).at(-1)!.head;
  }

  const consume = (id: string, number: number, bars: number) =>
    p.other.consumed(p.number, id, { number, barsTotal: number * bars, text: '' });

  /** Entries that are left, by the number of the oldest. */
  async function length(): Promise<number> {
    const { head, entries } = await p.journal.read(p.number, NOWHERE, 1);
    return head.last - entries[0]!.number + 1;
  }

  describe('trimming', () => {
    test('keeps so many consumed entries and all that are not consumed', async () => {
      const { id } = await fill(KEEP_ENTRIES + 300);
      const done = KEEP_ENTRIES + 200;
      await consume(id, done, 1);
      const entries = await p.readAll();
      expect([entries[0]!.number, entries[0]!.text]).toEqual([done - KEEP_ENTRIES + 1, `${done - KEEP_ENTRIES + 1}`]);
      expect(entries.at(-1)!.number).toBe(KEEP_ENTRIES + 300);
    });

    test('keeps fewer where they are long', async () => {
      const { id } = await fill(400, 500);
      await consume(id, 384, 500);
      expect((await length()) - (400 - 384)).toBe(KEEP_BARS / 500);
    });

    test('takes place once in a while, and never lets the rest grow', async () => {
      const count = KEEP_ENTRIES + 10 * TRIM_EVERY;
      const { id } = await fill(count);
      const lengths = new Set<number>();
      for (let number = KEEP_ENTRIES; number <= count; number++) {
        await consume(id, number, 1);
        const left = await length();
        expect(left - (count - number)).toBeLessThanOrEqual(KEEP_ENTRIES + TRIM_EVERY);
        lengths.add(left);
      }
      expect(lengths.size).toBeGreaterThan(8);
      expect(lengths.size).toBeLessThanOrEqual(12);
    });

    test('leaves everything while there is less than may stay', async () => {
      const { id } = await fill(4 * TRIM_EVERY);
      for (let number = 1; number <= 4 * TRIM_EVERY; number++) await consume(id, number, 1);
      expect(await length()).toBe(4 * TRIM_EVERY);
      expect(await p.waiting()).toBe(0);
    });

    test('leaves entries without bars, as a clock alone makes them, to the limit of entries', async () => {
      const { id } = await fill(KEEP_ENTRIES + 100, 0);
      await consume(id, KEEP_ENTRIES + 96, 0);
      expect(await length()).toBe(KEEP_ENTRIES + 4);
    });
  });
}
