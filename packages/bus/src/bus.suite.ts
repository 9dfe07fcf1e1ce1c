import { channelsOf } from '@candlewire/contracts';
import { waitFor } from '@candlewire/testkit';
import type { Bus } from './bus';
import { describeDemand } from './demand.suite';
import { BusClosed } from './errors';
import { describeJournal } from './journal.suite';
import { describeJournalLoss } from './journal-loss.suite';
import { describeJournalTrimming } from './journal-trimming.suite';
import { describeLeader } from './leader.suite';
import { type BusUnderTest, whenConnected } from './test-bus.suite';

/**
 * What every bus promises, whatever carries it.
 * @param canBeEmptied whether it can lose what it holds while its users live on
 */
export function describeBus(name: string, factory: () => Promise<BusUnderTest>, canBeEmptied: boolean): void {
  describe(name, () => {
    let room: BusUnderTest;
    let one: Bus;
    let two: Bus;
    let channel: string;
    let channelsUsed = 0;

    beforeAll(async () => {
      room = await factory();
      one = room.connect();
      two = room.connect();
      await whenConnected(one, two);
    });
    beforeEach(() => {
      channel = channelsOf(room.prefix).prices(`S${++channelsUsed}`);
    });
    afterAll(async () => {
      await Promise.all([one.close(), two.close()]);
      await room.close();
    });

    /** Resolves once everything that `bus` published before has been delivered to `listener`'s bus. */
    async function marker(from: Bus, to: Bus, on: string): Promise<void> {
      let seen = false;
      const off = await to.subscribe(on, (text) => {
        seen ||= text === 'marker';
      });
      await from.publish([{ channel: on, text: 'marker' }]);
      await waitFor(() => seen, { what: 'the marker' });
      await off();
    }

    describe('publish and subscribe', () => {
      test('messages arrive as they were sent and in the order of sending, across calls that nobody awaited', async () => {
        const got: string[] = [];
        await two.subscribe(channel, (text) => got.push(text));
        const texts = Array.from({ length: 6_000 }, (_, i) => `${i} é 😀 \r\n "`);
        const calls = [0, 1_500, 3_000, 4_500].map((at) =>
          one.publish(texts.slice(at, at + 1_500).map((text) => ({ channel, text }))),
        );
        await Promise.all(calls);
        await waitFor(() => got.length >= texts.length, { what: 'all messages' });
        expect(got).toEqual(texts);
      });

      test('a message reaches the listeners of its channel alone', async () => {
        const [mine, other]: [string[], string[]] = [[], []];
        await two.subscribe(channel, (text) => mine.push(text));
        await two.subscribe(`${channel}X`, (text) => other.push(text));
        await one.publish([{ channel: `${channel}Y`, text: 'nobody' }]);
        await one.publish([
          { channel, text: 'a' },
          { channel: `${channel}X`, text: 'b' },
        ]);
        await waitFor(() => other.length > 0);
        expect([mine, other]).toEqual([['a'], ['b']]);
      });

      test('nothing at all can be published', async () => {
        await expect(one.publish([])).resolves.toBeUndefined();
      });

      test('listeners of one channel are counted: it is left with the last, even where they are the same function', async () => {
        const got: string[] = [];
        const listener = (text: string) => got.push(text);
        const offs = [await two.subscribe(channel, listener), await two.subscribe(channel, listener)];
        await one.publish([{ channel, text: 'both' }]);
        await waitFor(() => got.length >= 2);
        await offs[0]!();
        await offs[0]!();
        await one.publish([{ channel, text: 'one' }]);
        await waitFor(() => got.length >= 3);
        await offs[1]!();
        await one.publish([{ channel, text: 'none' }]);
        await marker(one, two, channel);
        expect(got).toEqual(['both', 'both', 'one']);
      });

      test('nothing is heard after the returned function was called, before it has resolved', async () => {
        const got: string[] = [];
        const off = await two.subscribe(channel, (text) => got.push(text));
        const left = off();
        await one.publish([{ channel, text: 'late' }]);
        await left;
        await marker(one, two, channel);
        expect(got).toEqual([]);
      });

      test('a listener that throws harms neither the others nor itself', async () => {
        const [bad, good]: [string[], string[]] = [[], []];
        await two.subscribe(channel, (text) => {
          bad.push(text);
          throw new Error('thrown by a listener');
        });
        await two.subscribe(channel, (text) => good.push(text));
        await one.publish(['a', 'b'].map((text) => ({ channel, text })));
        await waitFor(() => good.length >= 2);
        expect([bad, good]).toEqual([
          ['a', 'b'],
          ['a', 'b'],
        ]);
      });

      test('a subscription that resolves is in force, even while the channel is being left', async () => {
        for (let i = 0; i < 50; i++) {
          const off = await two.subscribe(channel, () => {});
          const left = off();
          // At changing points of the way out.
          for (let turns = i % 5; turns > 0; turns--) await Promise.resolve();
          let got = '';
          const offAgain = await two.subscribe(channel, (text) => {
            got = text;
          });
          await one.publish([{ channel, text: `${i}` }]);
          await waitFor(() => got === `${i}`, { what: `message ${i}` });
          await Promise.all([left, offAgain()]);
        }
      });

      test('joining and leaving in any order ends with those who stayed', async () => {
        const got = new Set<number>();
        const staying = new Set<number>();
        const calls: Promise<unknown>[] = [];
        for (let i = 0; i < 200; i++) {
          const stays = i % 7 === 3;
          if (stays) staying.add(i);
          const joined = two.subscribe(`${channel}${i % 10}`, () => got.add(i));
          calls.push(stays ? joined : joined.then((off) => off()));
        }
        await Promise.all(calls);
        await one.publish(Array.from({ length: 10 }, (_, i) => ({ channel: `${channel}${i}`, text: '' })));
        await marker(one, two, channel);
        expect(got).toEqual(staying);
      });

      test('thousands of channels can be subscribed to at once', async () => {
        const names = Array.from({ length: 2_500 }, (_, i) => `${channel}.${i}`);
        const got = new Set<string>();
        const offs = await Promise.all(names.map((name) => two.subscribe(name, (text) => got.add(text))));
        await one.publish(names.map((name) => ({ channel: name, text: name })));
        await waitFor(() => got.size === names.length, { what: 'a message of each channel' });
        await Promise.all(offs.map((off) => off()));
      });
    });

    describe('last values', () => {
      test('a channel that nothing was kept on has no last value', async () => {
        await one.publish([{ channel, text: 'only published' }]);
        expect(await two.kept(channel)).toBeNull();
      });

      test('keeping publishes, and the newest is kept', async () => {
        const got: string[] = [];
        await two.subscribe(channel, (text) => got.push(text));
        await one.keep({ channel, text: 'first' });
        await one.keep({ channel, text: 'second' });
        expect(await two.kept(channel)).toBe('second');
        await waitFor(() => got.length >= 2);
        expect(got).toEqual(['first', 'second']);
      });
    });

    const journals = () => ({ one, two, empty: room.empty });
    describeJournal(journals);
    describeJournalLoss(journals, canBeEmptied);
    describeJournalTrimming(journals);
    describeLeader(factory, canBeEmptied);
    describeDemand(() => ({ one, two }), factory);

    describe('an end', () => {
      test('a bus that answers says so', async () => {
        expect(await one.ping(30_000)).toBe(true);
      });

      test('after closing nothing is accepted, no answer comes, and closing again does no harm', async () => {
        const bus = room.connect();
        const off = await bus.subscribe(channel, () => {});
        await bus.close();
        await bus.close();
        await expect(bus.publish([{ channel, text: '' }])).rejects.toThrow(BusClosed);
        await expect(bus.subscribe(channel, () => {})).rejects.toThrow(BusClosed);
        await expect(bus.journal.open(1)).rejects.toThrow(BusClosed);
        await expect(bus.demand.wanted()).rejects.toThrow(BusClosed);
        await expect(bus.leader.acquire('one', 1)).rejects.toThrow(BusClosed);
        await expect(off()).resolves.toBeUndefined();
        expect(await bus.ping(50)).toBe(false);
      });

      test('what was published before closing has been sent', async () => {
        const got: string[] = [];
        await two.subscribe(channel, (text) => got.push(text));
        const bus = room.connect();
        await whenConnected(bus);
        const published = bus.publish([{ channel, text: 'farewell' }]);
        await bus.close();
        await published;
        await waitFor(() => got.length > 0);
        expect(got).toEqual(['farewell']);
      });
    });
  });
}
