import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import type { Bus } from './bus';
import { describeBus } from './bus.suite';
import { createInProcessBus } from './in-process-bus';
import { WANTED_MAX } from './limits';

/** Where somebody does not get his turn, a test ends all the same. */
const ROUNDS_MAX = 1_000_000;

describeBus(
  'a bus within the process',
  async () => {
    const hub = createInProcessBus({ logger: silentLogger });
    return { prefix: 'test', connect: hub.connect, close: async () => {} };
  },
  false,
);

describe('a bus within the process, seen from within', () => {
  const hello = { channel: 'hello', text: 'hello' };
  let warnings: Fields[];
  let one: Bus;
  let two: Bus;

  beforeEach(() => {
    warnings = [];
    const logger: Logger = { ...silentLogger, warn: (event, fields) => warnings.push({ event, ...fields }) };
    const hub = createInProcessBus({ logger });
    [one, two] = [hub.connect(), hub.connect()];
  });

  test('says what it is', () => {
    expect(one.kind).toBe('in-process');
  });

  test('hubs have nothing in common', async () => {
    const foreign = createInProcessBus({ logger: silentLogger }).connect();
    const got: string[] = [];
    await foreign.subscribe(hello.channel, (text) => got.push(text));
    const [head] = await one.journal.open(1);
    await one.keep(hello);
    expect([got, await foreign.kept(hello.channel)]).toEqual([[], null]);
    expect(await foreign.journal.open(1)).not.toEqual([head]);
  });

  test('closing one bus ends its own subscriptions alone', async () => {
    const [mine, others]: [string[], string[]] = [[], []];
    await one.subscribe(hello.channel, (text) => mine.push(text));
    await two.subscribe(hello.channel, (text) => others.push(text));
    await one.close();
    await two.publish([hello]);
    expect([mine, others, await two.ping()]).toEqual([[], ['hello'], true]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['publish', () => one.publish([hello])],
    ['keep', () => one.keep(hello)],
    ['append', () => one.journal.append(null, [], [hello])],
  ])('a listener is called after %s has returned and before it has resolved', async (_, act) => {
    const seen: string[] = [];
    await one.subscribe(hello.channel, () => seen.push('called'));
    const acted = act();
    await Promise.resolve();
    seen.push('returned');
    await acted;
    seen.push('resolved');
    expect(seen).toEqual(['returned', 'called', 'resolved']);
  });

  test('what becomes of the array after publish has returned does not matter', async () => {
    const got: string[] = [];
    await two.subscribe(hello.channel, (text) => got.push(text));
    const messages = [hello];
    const published = one.publish(messages);
    messages.length = 0;
    await published;
    expect(got).toEqual(['hello']);
  });

  test('what a listener publishes goes behind what was published before', async () => {
    const got: string[] = [];
    await two.subscribe(hello.channel, (text) => got.push(text));
    let answered: Promise<void> | undefined;
    await two.subscribe(hello.channel, (text) => {
      if (text === 'a') answered = two.publish([{ ...hello, text: 'answer' }]);
    });
    await one.publish(['a', 'b'].map((text) => ({ ...hello, text })));
    await answered;
    expect(got).toEqual(['a', 'b', 'answer']);
  });

  test('a listener that throws is logged with its channel', async () => {
    const err = new Error('thrown by a listener');
    await two.subscribe(hello.channel, () => {
      throw err;
    });
    await one.publish([hello]);
    expect(warnings).toEqual([{ event: 'bus listener failed', channel: hello.channel, err }]);
  });

  test('many appends to a partition wake its owner once', async () => {
    let woken = 0;
    const [known] = await one.journal.open(1);
    await two.journal.onAppend(0, () => woken++);
    await one.journal.append(
      null,
      Array.from({ length: 100 }, () => ({ partition: 0, known: known!, text: '', bars: 1 })),
    );
    expect(woken).toBe(1);
  });

  test('symbols that are left out are counted in the log', async () => {
    const symbols = Array.from({ length: WANTED_MAX + 3 }, (_, i) => `S${i}`);
    await one.demand.want(symbols, 60_000);
    await two.demand.want(['S0'], 60_000);
    expect(warnings).toEqual([{ event: 'too many symbols wanted', leftOut: 3 }]);
  });

  describe('leaves the others their turn', () => {
    test('while somebody does nothing but ask', async () => {
      let timer = false;
      setTimeout(() => {
        timer = true;
      }, 1);
      for (let asked = 0; asked < ROUNDS_MAX && !timer; asked++) {
        await one.journal.read(0, { id: '', last: 0 }, 1);
        await one.publish([]);
      }
      expect(timer).toBe(true);
    });

    test('while a flood of messages is delivered', async () => {
      let got = 0;
      await two.subscribe(hello.channel, () => got++);
      const published = one.publish(Array(100_000).fill(hello));
      let turns = 0;
      const turn = () => {
        turns++;
        if (got < 100_000) setImmediate(turn);
      };
      turn();
      await published;
      expect(got).toBe(100_000);
      expect(turns).toBeGreaterThan(20);
    });

    test('while listeners answer each other for ever', async () => {
      let answers = 0;
      let going = true;
      const answered = new Set<Promise<void>>();
      const answer = (channel: string) => () => {
        answers++;
        if (!going || answers >= ROUNDS_MAX) return;
        const published = two.publish([{ channel, text: '' }]);
        answered.add(published);
        void published.finally(() => answered.delete(published));
      };
      await two.subscribe('ping', answer('pong'));
      await two.subscribe('pong', answer('ping'));
      await one.publish([{ channel: 'ping', text: '' }]);
      await waitFor(() => answers > 100);
      going = false;
      await Promise.all(answered);
      expect(answers).toBeLessThan(ROUNDS_MAX);
    });
  });
});
