import { waitFor } from '@candlewire/testkit';
import type { Bus } from './bus';
import { NotLeader } from './errors';
import { type BusUnderTest, whenConnected } from './test-bus.suite';
import { NOWHERE } from './test-partition.suite';

const LONG_MS = 60_000;
/** Runs out during a test; nothing here depends on how soon. */
const SHORT_MS = 40;

/** What every bus promises about who leads. There is one lead in a room, so each test has a room of its own. */
export function describeLeader(newRoom: () => Promise<BusUnderTest>, canBeEmptied: boolean): void {
  describe('the lead', () => {
    let room: BusUnderTest;
    let one: Bus;
    let two: Bus;

    beforeEach(async () => {
      room = await newRoom();
      [one, two] = [room.connect(), room.connect()];
      await whenConnected(one, two);
    });
    afterEach(async () => {
      await Promise.all([one.close(), two.close()]);
      await room.close();
    });

    /** A token whose lease has run out. */
    async function expired(by: Bus, owner: string): Promise<string> {
      const token = (await by.leader.acquire(owner, 1))!;
      await waitFor(async () => !(await by.leader.renew(token, 1)), { what: 'the end of the lease' });
      return token;
    }
    /** Waits until a lease of so long that begins now would have run out, by the bus's clock. */
    async function passed(ms: number): Promise<void> {
      await one.demand.want(['PASSED'], ms);
      await waitFor(async () => (await one.demand.wanted()).length === 0, { what: `${ms} ms by the bus` });
    }
    async function append(by: Bus, token: string | null, text: string): Promise<number> {
      const [known] = await by.journal.open(1);
      const [appended] = await by.journal.append(token, [{ partition: 0, known: known!, text, bars: 1 }]);
      return appended!.head.last;
    }
    const journal = async () => (await two.journal.read(0, NOWHERE, 100)).entries.map(({ text }) => text);

    test('is one process’s, until it lets go', async () => {
      const token = await one.leader.acquire('one', LONG_MS);
      expect(token).toMatch(/:one$/);
      expect(await two.leader.acquire('two', LONG_MS)).toBeNull();
      await one.leader.release(token!);
      expect(await two.leader.acquire('two', LONG_MS)).toMatch(/:two$/);
      expect(await one.leader.acquire('one', LONG_MS)).toBeNull();
    });

    test('has one winner, however many try at once', async () => {
      const tries = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? one : two).leader.acquire(`${i}`, LONG_MS));
      expect((await Promise.all(tries)).filter((token) => token !== null)).toHaveLength(1);
    });

    test('ends alone where it is not renewed, and not where it is', async () => {
      // Where a short lease is over before it can be renewed, the next one is tried.
      const token = await waitFor(
        async () => {
          const brief = (await one.leader.acquire('one', SHORT_MS))!;
          return (await one.leader.renew(brief, LONG_MS)) && brief;
        },
        { what: 'a lease that was renewed in time' },
      );
      await passed(SHORT_MS);
      expect(await two.leader.acquire('two', LONG_MS)).toBeNull();
      expect(await one.leader.renew(token, SHORT_MS)).toBe(true);
      await waitFor(async () => (await two.leader.acquire('two', LONG_MS)) !== null, { what: 'the end of the lease' });
      expect(await one.leader.renew(token, LONG_MS)).toBe(false);
    });

    test('that ran out is not renewed, also where nobody has taken it', async () => {
      const token = await expired(one, 'one');
      expect(await one.leader.renew(token, LONG_MS)).toBe(false);
      expect(await two.leader.acquire('two', LONG_MS)).not.toBeNull();
    });

    test('is taken over by whoever has it, with another token that alone is good', async () => {
      const first = (await one.leader.acquire('one', LONG_MS))!;
      const second = (await one.leader.acquire('one', LONG_MS))!;
      expect(second).not.toBe(first);
      expect(await one.leader.renew(first, LONG_MS)).toBe(false);
      expect(await one.leader.renew(second, LONG_MS)).toBe(true);
      await expect(append(one, first, 'never')).rejects.toBeInstanceOf(NotLeader);
      expect(await append(one, second, 'taken')).toBe(1);
    });

    test('let go by a token that has it no more stays with whoever has it now', async () => {
      const old = await expired(one, 'one');
      const token = (await two.leader.acquire('two', LONG_MS))!;
      await one.leader.release(old);
      expect(await two.leader.renew(token, LONG_MS)).toBe(true);
    });

    test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('is not given for %d ms', async (leaseMs) => {
      await expect(one.leader.acquire('one', leaseMs)).rejects.toThrow(RangeError);
      const token = (await one.leader.acquire('one', LONG_MS))!;
      await expect(one.leader.renew(token, leaseMs)).rejects.toThrow(RangeError);
    });

    test('wakes those who wait for it when it is let go, until they leave', async () => {
      let woken = 0;
      const off = await two.leader.onRelease(() => woken++);
      await one.leader.release((await one.leader.acquire('one', LONG_MS))!);
      await waitFor(() => woken > 0, { what: 'the wake-up' });
      await one.leader.release('another');
      await off();
      await one.leader.release((await one.leader.acquire('one', LONG_MS))!);
      await two.leader.acquire('two', LONG_MS);
      expect(woken).toBe(1);
    });

    describe('and the journal', () => {
      test('its token appends and publishes, in any number of entries and messages', async () => {
        const token = (await one.leader.acquire('one', LONG_MS))!;
        const [known] = await one.journal.open(1);
        let got = 0;
        await two.subscribe('beside', () => got++);
        const appended = await one.journal.append(
          token,
          ['a', 'b'].map((text) => ({ partition: 0, known: known!, text, bars: 1 })),
          Array.from({ length: 1_201 }, (_, i) => ({ channel: 'beside', text: `${i}` })),
        );
        expect(appended.map(({ head }) => head.last)).toEqual([1, 2]);
        await waitFor(() => got === 1_201, { what: 'all messages' });
      });

      test('a token whose lease ran out appends and publishes nothing, also where nobody leads', async () => {
        const token = await expired(one, 'one');
        const got: string[] = [];
        await two.subscribe('beside', (text) => got.push(text));
        const [known] = await one.journal.open(1);
        const entry = { partition: 0, known: known!, text: 'never', bars: 1 };
        const refused = one.journal.append(token, [entry, entry], [{ channel: 'beside', text: 'never' }]);
        await expect(refused).rejects.toBeInstanceOf(NotLeader);
        await expect(one.journal.append(token, [], [{ channel: 'beside', text: 'never' }])).rejects.toThrow(NotLeader);
        await one.publish([{ channel: 'beside', text: 'marker' }]);
        await waitFor(() => got.length > 0);
        expect([await journal(), got]).toEqual([[], ['marker']]);
      });

      test('of a paused leader and its successor the successor’s entries alone are taken', async () => {
        const paused = await expired(one, 'one');
        const token = (await two.leader.acquire('two', LONG_MS))!;
        await append(two, token, 'a');
        await expect(append(one, paused, 'never')).rejects.toBeInstanceOf(NotLeader);
        await append(two, token, 'b');
        expect(await journal()).toEqual(['a', 'b']);
      });

      test('a token that was let go appends nothing', async () => {
        const token = (await one.leader.acquire('one', LONG_MS))!;
        await one.leader.release(token);
        await expect(append(one, token, 'never')).rejects.toBeInstanceOf(NotLeader);
      });

      test('a refused append changes no journal, whatever it knows of it', async () => {
        const head = (await one.journal.open(1))[0]!;
        const known = { id: head.id, last: 7 };
        const refused = one.journal.append('1:x:one', [{ partition: 0, known, text: 'never', bars: 1 }]);
        await expect(refused).rejects.toBeInstanceOf(NotLeader);
        expect(await two.journal.open(1)).toEqual([head]);
      });

      test('who names no token appends all the same', async () => {
        await one.leader.acquire('one', LONG_MS);
        expect(await append(two, null, 'a')).toBe(1);
      });
    });

    if (canBeEmptied) {
      test('of a bus that was emptied is nobody’s, and no token of before leads again', async () => {
        const old = (await one.leader.acquire('one', LONG_MS))!;
        await room.empty!();
        expect(await one.leader.renew(old, LONG_MS)).toBe(false);
        await expect(append(one, old, 'never')).rejects.toBeInstanceOf(NotLeader);
        const token = (await one.leader.acquire('one', LONG_MS))!;
        expect(token.split(':')[0]).toBe(old.split(':')[0]);
        expect(token).not.toBe(old);
        await expect(append(one, old, 'never')).rejects.toBeInstanceOf(NotLeader);
        expect(await append(one, token, 'a')).toBe(1);
      });
    }
  });
}
