import { waitFor } from '@candlewire/testkit';
import fc from 'fast-check';
import type { Bus, Demand } from './bus';
import { WANTED_MAX } from './limits';
import { type BusUnderTest, whenConnected } from './test-bus.suite';

const LONG_MS = 60_000;
/** Runs out during a test; nothing here depends on how soon. */
const SHORT_MS = 40;

/** What every bus promises about demand. Each test takes symbols of its own. */
export function describeDemand(room: () => { one: Bus; two: Bus }, newRoom: () => Promise<BusUnderTest>): void {
  let one: Demand;
  let two: Demand;
  let used = 0;
  let own: string;

  beforeEach(() => {
    one = room().one.demand;
    two = room().two.demand;
    own = `T${++used}.`;
  });

  const named = (names: string) => [...names].map((name) => own + name);
  /** This test's symbols that are wanted, by their last letter. */
  const wanted = async (by: Demand = two) =>
    (await by.wanted())
      .filter((symbol) => symbol.startsWith(own))
      .map((symbol) => symbol.slice(own.length))
      .join('');
  /** Resolves once two has heard everything that one said before. */
  async function delivered(): Promise<void> {
    let heard = false;
    const off = await room().two.subscribe(own, () => {
      heard = true;
    });
    await room().one.publish([{ channel: own, text: '' }]);
    await waitFor(() => heard, { what: 'the marker' });
    await off();
  }
  const gone = (name: string) => waitFor(async () => !(await wanted()).includes(name), { what: `the end of ${name}` });

  describe('demand', () => {
    test('what one wants another sees, in the order in which it was first wanted', async () => {
      await one.want(named('ca'), LONG_MS);
      await two.want(named('b'), LONG_MS);
      await one.want(named('ab'), LONG_MS);
      expect([await wanted(one), await wanted(two)]).toEqual(['cab', 'cab']);
    });

    test('a symbol that is wanted twice in one call is wanted once', async () => {
      await one.want(named('abab'), LONG_MS);
      expect(await wanted()).toBe('ab');
    });

    test('nothing at all can be wanted', async () => {
      await one.want([], LONG_MS);
      expect(await wanted()).toBe('');
    });

    test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('a lease of %d ms is refused', async (leaseMs) => {
      await expect(one.want(named('a'), leaseMs)).rejects.toThrow(RangeError);
      expect(await wanted()).toBe('');
    });

    test('a lease runs out alone', async () => {
      await one.want(named('da'), LONG_MS);
      await one.want(named('b'), SHORT_MS);
      await one.want(named('c'), LONG_MS);
      await gone('b');
      expect(await wanted()).toBe('dac');
    });

    test('a lease that is renewed goes on, whoever renews it', async () => {
      await one.want(named('ab'), SHORT_MS);
      await two.want(named('a'), LONG_MS);
      await gone('b');
      expect(await wanted()).toBe('a');
    });

    test('nobody cuts the lease of another short', async () => {
      await one.want(named('a'), LONG_MS);
      await two.want(named('ab'), SHORT_MS);
      await gone('b');
      expect(await wanted()).toBe('a');
    });

    test('a symbol whose lease ran out is as old as its next one', async () => {
      await one.want(named('a'), SHORT_MS);
      await one.want(named('b'), LONG_MS);
      await gone('a');
      await one.want(named('a'), LONG_MS);
      expect(await wanted()).toBe('ba');
    });

    test('a symbol that is dropped is let go at once, whoever holds it, and can be wanted anew', async () => {
      await one.want(named('acb'), LONG_MS);
      await two.drop(named('a')[0]!);
      expect([await wanted(one), await wanted(two)]).toEqual(['cb', 'cb']);
      await one.want(named('a'), LONG_MS);
      expect(await wanted()).toBe('cba');
    });

    test('a symbol that nobody wants can be dropped', async () => {
      await expect(one.drop(named('a')[0]!)).resolves.toBeUndefined();
    });

    test('a new symbol wakes who waits for it, and one that is wanted already wakes nobody', async () => {
      let woken = 0;
      const off = await two.onWant(() => woken++);
      await one.want(named('ab'), LONG_MS);
      await one.want(named('ba'), LONG_MS);
      await two.drop(named('a')[0]!);
      await one.want(named('ab'), LONG_MS);
      await delivered();
      expect(woken).toBe(2);
      await off();
      await one.want(named('c'), LONG_MS);
      await delivered();
      expect(woken).toBe(2);
    });

    test('thousands of symbols can be wanted at once and keep their order', async () => {
      const symbols = Array.from({ length: 2_500 }, (_, i) => `${own}${i}`);
      await one.want(symbols, LONG_MS);
      expect((await two.wanted()).filter((symbol) => symbol.startsWith(own))).toEqual(symbols);
    });

    test('beyond the limit those that are wanted stay, and new ones come in where others go', async () => {
      const other = await newRoom();
      const bus = other.connect();
      await whenConnected(bus);
      const symbols = Array.from({ length: WANTED_MAX }, (_, i) => `S${i}`);
      await bus.demand.want(symbols, LONG_MS);
      await bus.demand.want(['LATE', 'S7', 'LATER'], LONG_MS);
      expect(await bus.demand.wanted()).toEqual(symbols);
      await bus.demand.drop('S0');
      await bus.demand.want(['LATE', 'LATER'], LONG_MS);
      expect(await bus.demand.wanted()).toEqual([...symbols.slice(1), 'LATE']);
      await bus.close();
      await other.close();
    });

    test('what is wanted is what was wanted and not dropped since, by age', async () => {
      const letter = fc.constantFrom(...'abcdef');
      const step = fc.oneof(
        { weight: 3, arbitrary: fc.record({ want: fc.array(letter, { maxLength: 4 }) }) },
        { weight: 1, arbitrary: fc.record({ drop: letter }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          own = `T${++used}.`;
          const model = new Set<string>();
          for (const [i, action] of steps.entries()) {
            const by = i % 2 === 0 ? one : two;
            if ('want' in action) {
              await by.want(named(action.want.join('')), LONG_MS);
              for (const name of action.want) model.add(name);
            } else {
              await by.drop(own + action.drop);
              model.delete(action.drop);
            }
            expect(await wanted(by)).toBe([...model].join(''));
          }
        }),
        { numRuns: 30 },
      );
    });
  });
}
