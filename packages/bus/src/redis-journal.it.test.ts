import { channelsOf } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { describeWithRedis, type TestRedis, testRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import type { Bus, Journal, JournalHead } from './bus';
import { connectBus } from './redis-bus';
import { whenConnected } from './test-bus.suite';
import { NOWHERE } from './test-partition.suite';

describeWithRedis('the journal on Redis, damaged or looked at by hand', () => {
  let server: TestRedis;
  let raw: Redis;
  let bus: Bus;
  let journal: Journal;
  let partition = 0;
  let stream: string;
  let head: string;

  beforeAll(async () => {
    server = (await testRedis())!;
    raw = new Redis(server.url);
    bus = connectBus({ url: server.url, prefix: server.prefix, logger: silentLogger });
    await whenConnected(bus);
    journal = bus.journal;
  });
  beforeEach(() => {
    const channels = channelsOf(server.prefix);
    stream = channels.journal(++partition);
    head = channels.journalHead(partition);
  });
  afterAll(async () => {
    await bus.close();
    await server.close();
    await raw.quit();
  });

  /** Appends `count` entries `1`, `2`, … behind what is there, and returns the head after them. */
  async function fill(count: number, bars = 1): Promise<JournalHead> {
    const known = (await journal.open(partition + 1))[partition]!;
    const appended = await journal.append(
      null,
      Array.from({ length: count }, (_, i) => ({ partition, known, text: `${known.last + i + 1}`, bars })),
    );
    return appended.at(-1)!.head;
  }

  async function append(known: JournalHead, text: string): Promise<JournalHead> {
    const [appended] = await journal.append(null, [{ partition, known, text, bars: 1 }]);
    return appended!.head;
  }

  /** Reads in portions until there is no more, as an owner does, counting the journals that it meets. */
  async function follow(after: JournalHead, max: number): Promise<{ texts: string[]; ids: Set<string> }> {
    const texts: string[] = [];
    const ids = new Set<string>();
    for (let portion = 0; portion < 200; portion++) {
      const { head: at, entries } = await journal.read(partition, after, max);
      if (!ids.has(at.id)) texts.length = 0;
      ids.add(at.id);
      texts.push(...entries.map(({ text }) => text));
      if (entries.length === 0) return { texts, ids };
      after = { id: at.id, last: entries.at(-1)!.number };
    }
    throw new Error('the journal never ends');
  }

  /** After damage: appender and reader agree on one new journal, and what is appended then is read. */
  async function expectRecovered(known: JournalHead): Promise<void> {
    const found = await append(known, 'never');
    expect(found.id).not.toBe(known.id);
    const { ids } = await follow(known, 10);
    expect(ids).toEqual(new Set([found.id]));
    const next = await append(found, 'after the damage');
    expect(next).toEqual({ id: found.id, last: found.last + 1 });
    expect((await journal.read(partition, found, 10)).entries.map(({ text }) => text)).toEqual(['after the damage']);
  }

  const texts = (...numbers: number[]) => numbers.map(String);

  test('an entry is a stream entry `<number>-0` with the journal, the bars so far and the text', async () => {
    const { id } = await fill(2, 3);
    expect(await raw.xrange(stream, '-', '+')).toEqual([
      ['1-0', ['j', id, 'n', '3', 'e', '1']],
      ['2-0', ['j', id, 'n', '6', 'e', '2']],
    ]);
    expect(await raw.hgetall(head)).toMatchObject({ id, last: '2', bars: '6', done: '0', done_entry: '0' });
  });

  test('an append is announced on the channel that has the name of the stream', async () => {
    const listener = raw.duplicate();
    const got: string[] = [];
    listener.on('message', (channel: string) => got.push(channel));
    await listener.subscribe(stream);
    await fill(1);
    await waitFor(() => got.length > 0);
    expect(got).toEqual([stream]);
    listener.disconnect();
  });

  test('scripts that Redis has forgotten are loaded again', async () => {
    const known = await fill(1);
    await raw.script('FLUSH');
    expect(await append(known, '2')).toEqual({ id: known.id, last: 2 });
    await raw.script('FLUSH');
    expect((await follow(NOWHERE, 10)).texts).toEqual(texts(1, 2));
  });

  test('numbers beyond what Lua prints plainly stay exact', async () => {
    const { id } = await fill(1);
    const last = 2 ** 52;
    await raw.del(stream);
    await raw.xadd(stream, `${last}-0`, 'j', id, 'n', `${last}`, 'e', 'x');
    await raw.hset(head, { last, bars: last });
    expect(await append({ id, last }, 'y')).toEqual({ id, last: last + 1 });
    const { entries } = await journal.read(partition, { id, last: last - 1 }, 10);
    expect(entries.map(({ number, barsTotal }) => [number, barsTotal])).toEqual([
      [last, last],
      [last + 1, last + 1],
    ]);
  });

  describe('brought back to an earlier state', () => {
    /** As a Redis that was killed before it had written the newest entries, and was started again. */
    async function rolledBack(): Promise<JournalHead> {
      await fill(3);
      const saved = await Promise.all([raw.dumpBuffer(stream), raw.dumpBuffer(head)]);
      const known = await fill(2);
      await raw.restore(stream, 0, saved[0]!, 'REPLACE');
      await raw.restore(head, 0, saved[1]!, 'REPLACE');
      return known;
    }

    test('it gets a new id from the append, and its reader begins at the oldest entry', async () => {
      const known = await rolledBack();
      const found = await append(known, 'never');
      expect(found).toEqual({ id: expect.not.stringContaining(known.id), last: 3 });
      expect(await follow(known, 2)).toEqual({ texts: texts(1, 2, 3), ids: new Set([found.id]) });
      await expectRecovered(known);
    });

    test('it gets a new id from the read, and its appender appends nothing', async () => {
      const known = await rolledBack();
      const { texts: read, ids } = await follow(known, 2);
      expect([read, ids.size, ids.has(known.id)]).toEqual([texts(1, 2, 3), 1, false]);
      await expectRecovered(known);
    });

    test('it goes on behind what is left even where the stream remembers higher numbers', async () => {
      const known = await fill(5);
      await raw.xdel(stream, '4-0', '5-0');
      await raw.hset(head, { last: 3, bars: 3 });
      const found = await append(known, 'never');
      expect(found.last).toBe(3);
      expect(await append(found, '4 again')).toEqual({ id: found.id, last: 4 });
      expect((await follow(known, 2)).texts).toEqual([...texts(1, 2, 3), '4 again']);
    });

    test('what waited before is counted anew', async () => {
      const known = await rolledBack();
      await journal.consumed(partition, known.id, { number: 3, barsTotal: 3, text: '3' });
      const { head: found, entries } = await journal.read(partition, known, 10);
      const waiting = async () => (await journal.waiting(partition + 1))[partition];
      expect(await waiting()).toBe(2);
      await journal.consumed(partition, found.id, entries[1]!);
      expect(await waiting()).toBe(1);
    });
  });

  describe('in parts', () => {
    test('a head that is gone is made anew over the entries that are left', async () => {
      const known = await fill(3);
      await raw.del(head);
      const found = await append(known, 'never');
      expect(found).toEqual({ id: expect.not.stringContaining(known.id), last: 3 });
      expect((await follow(NOWHERE, 2)).texts).toEqual(texts(1, 2, 3));
      await expectRecovered(known);
    });

    test('a stream that is gone is a loss to the reader who was not done with it', async () => {
      const known = await fill(3);
      await raw.del(stream);
      const { texts: read, ids } = await follow({ id: known.id, last: 1 }, 2);
      expect([read, ids.size, ids.has(known.id)]).toEqual([[], 1, false]);
      await expectRecovered(known);
    });

    test('a stream that is gone is no loss to the reader who was done with it', async () => {
      const known = await fill(3);
      await raw.del(stream);
      expect(await journal.read(partition, known, 10)).toEqual({ head: known, entries: [] });
      expect(await append(known, '4')).toEqual({ id: known.id, last: 4 });
      expect(await follow(known, 10)).toEqual({ texts: texts(4), ids: new Set([known.id]) });
    });

    test('a stream that is gone is found out by a new reader, who need not be told twice', async () => {
      const known = await fill(3);
      await raw.del(stream);
      const { head: found, entries } = await journal.read(partition, NOWHERE, 10);
      expect([found.last, entries]).toEqual([0, []]);
      expect(await journal.read(partition, { id: found.id, last: 0 }, 10)).toEqual({ head: found, entries: [] });
      await expectRecovered(known);
    });

    test('oldest entries that are gone are a loss to the reader before them alone', async () => {
      const known = await fill(6);
      await raw.xtrim(stream, 'MINID', 4);
      const at = await journal.read(partition, { id: known.id, last: 3 }, 10);
      expect([at.head.id, at.entries[0]!.number]).toEqual([known.id, 4]);
      const { texts: read, ids } = await follow({ id: known.id, last: 2 }, 2);
      expect([read, ids.has(known.id)]).toEqual([texts(4, 5, 6), false]);
      await expectRecovered(known);
    });

    test.each([3, 4])(
      'a hole makes it start over, and a reader of %i at a time does not go round in circles',
      async (max) => {
        const known = await fill(9);
        await raw.xdel(stream, '5-0', '6-0');
        const { texts: read, ids } = await follow({ id: known.id, last: 0 }, max);
        expect([read, ids.size]).toEqual([[], 2]);
        await expectRecovered(known);
      },
    );

    test('an entry that somebody wrote by hand ends the journal when it is reached', async () => {
      const known = await fill(3);
      await raw.xadd(stream, '*', 'e', 'by hand');
      // Its number is far above the next one: the append cannot go on either.
      expect(await append(known, 'never')).toEqual({ id: expect.not.stringContaining(known.id), last: 0 });
      await expectRecovered(known);
    });

    test.each([2, 3])(
      'an entry in another form, in its right place, makes it start over, read %i at a time',
      async (max) => {
        const known = await fill(3);
        await raw.xadd(stream, '4-0', 'e', 'by hand');
        await raw.hset(head, 'last', 4);
        const later = await fill(2);
        const { texts: read, ids } = await follow({ id: known.id, last: 0 }, max);
        expect([later.last, read, ids.size]).toEqual([6, [], 2]);
        await expectRecovered(later);
      },
    );

    test('an entry of another journal, in its right place, is not taken for one of this', async () => {
      const known = await fill(3);
      await raw.xadd(stream, '4-0', 'j', 'another', 'n', '4', 'e', 'x');
      await raw.hset(head, 'last', 4);
      const { texts: read } = await follow({ id: known.id, last: 0 }, 2);
      expect(read).toEqual([]);
      await expectRecovered({ id: known.id, last: 4 });
    });

    test('a stream that is longer than its head says gives its entries to a new journal', async () => {
      const known = await fill(3);
      await raw.hset(head, 'last', 2);
      const { texts: read, ids } = await follow({ id: known.id, last: 1 }, 10);
      expect([read, ids.size, ids.has(known.id)]).toEqual([texts(1, 2, 3), 1, false]);
      await expectRecovered(known);
    });

    test('a key of another kind is an error and stays as it is', async () => {
      const known = await fill(1);
      await raw.set(stream, 'x');
      await expect(append(known, 'never')).rejects.toThrow(/WRONGTYPE/);
      await expect(journal.read(partition, { id: known.id, last: 0 }, 1)).rejects.toThrow(/WRONGTYPE/);
      expect(await raw.get(stream)).toBe('x');
      await raw.del(stream);
    });
  });
});
