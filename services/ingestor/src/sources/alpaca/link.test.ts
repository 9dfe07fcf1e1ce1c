import { createLink, type LinkEvent } from './link';
import { createSubscriptions } from './subscriptions';
import { TIMINGS } from './timings';

const START = 1_000_000;

/** A link that is carried out by hand: what it says is written down. */
function rig({ symbols = ['A'], random = 1 } = {}) {
  const subscriptions = createSubscriptions({ ...TIMINGS, max: 30, channels: ['bars'] });
  subscriptions.want(symbols);
  const link = createLink({ subscriptions, timings: TIMINGS, random: () => random });
  let now = START;
  const said: string[] = [];
  const note = (commands: readonly { do: string }[]) => said.push(...commands.map((command) => command.do));
  const self = {
    link,
    said,
    /** Looks every second. */
    pass(ms: number, mayOpen = true) {
      for (const end = now + ms; now < end; ) {
        now = Math.min(now + 1_000, end);
        note(link.look(now, mayOpen));
      }
      return self;
    },
    on(...events: LinkEvent[]) {
      for (const event of events) note(link.handle(event, now));
      return self;
    },
    open: () => self.pass(1_000),
    live: () => self.open().on({ type: 'authenticated' }, { type: 'acknowledged', by: { bars: symbols } }),
    fails: (text: string) => self.on({ type: 'error', text }, { type: 'closed' }),
    /** Ms until it opens again. */
    rests() {
      const before = said.length;
      const from = now;
      while (said.length === before) self.pass(1_000);
      return now - from;
    },
  };
  return self;
}

test('it is live when the server has accepted the key and acknowledged all symbols, and not before', () => {
  const it = rig();
  const states = [it.link.state()];
  states.push(it.open().link.state());
  states.push(it.on({ type: 'authenticated' }).pass(2_000).link.state());
  states.push(it.on({ type: 'acknowledged', by: { bars: ['A'] } }).link.state());
  expect(states).toEqual(['connecting', 'connecting', 'connecting', 'live']);
  expect(it.said).toEqual(['open', 'ask']);
});

test('it is live without a symbol, too', () => {
  expect(rig({ symbols: [] }).open().on({ type: 'authenticated' }).link.state()).toBe('live');
});

test('whoever is not authenticated within 15 s is left', () => {
  const it = rig().open().pass(14_000);
  expect(it.said).toEqual(['open']);
  expect(it.pass(1_000).said).toEqual(['open', 'close']);
  it.on({ type: 'closed' });
  expect([it.link.state(), it.link.reason()]).toEqual(['connecting', 'not authenticated in time']);
});

test('a request without an answer ends the connection after 15 s', () => {
  const it = rig().open().on({ type: 'authenticated' }).pass(15_000);
  expect(it.said).toEqual(['open', 'ask', 'close']);
  expect(it.link.reason()).toBe('no answer to a request');
});

test('a connection that is lost is made again after 1, 2, 4 … 30 s, for ever', () => {
  const it = rig().open();
  const pauses = Array.from({ length: 12 }, () => it.fails('connect ECONNREFUSED').rests());
  expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30].map((s) => s * 1_000));
});

test('half of each pause is left to chance', () => {
  const it = rig({ random: 0 }).open();
  expect([1, 2, 3, 4, 5, 6].map(() => it.fails('x').rests()).at(-1)).toBe(15_000);
});

test('attempts are counted anew after a minute of live, and not after a moment of it', () => {
  const it = rig().live().on({ type: 'closed' });
  expect(it.rests()).toBe(1_000);
  it.on({ type: 'authenticated' }, { type: 'acknowledged', by: { bars: ['A'] } }, { type: 'closed' });
  expect(it.rests()).toBe(2_000);
  it.on({ type: 'authenticated' }, { type: 'acknowledged', by: { bars: ['A'] } });
  it.pass(60_000).on({ type: 'closed' });
  expect(it.rests()).toBe(1_000);
});

test('after connection limit exceeded it closes at once and waits 90 s, also where the socket would stay open', () => {
  const it = rig({ random: 0 }).open().on({ type: 'error', text: 'connection limit exceeded' });
  expect(it.said).toEqual(['open', 'close']);
  it.on({ type: 'error', text: 'auth timeout' }, { type: 'closed' });
  expect([it.link.state(), it.link.reason()]).toEqual(['connecting', 'connection limit exceeded']);
  expect(it.rests()).toBe(90_000);
});

test.each(['auth failed', 'not authenticated', 'insufficient subscription', 'Unexpected server response: 403'])(
  '%s is a failure that is tried again after 1, 2, 4, 8, 10 min',
  (text) => {
    const it = rig().open();
    const pauses = Array.from({ length: 6 }, () => {
      it.on({ type: 'error', text });
      expect([it.link.state(), it.link.reason()]).toEqual(['failed', text]);
      const ms = it.on({ type: 'closed' }).rests();
      expect(it.link.state()).toBe('failed');
      return ms;
    });
    expect(pauses).toEqual([1, 2, 4, 8, 10, 10].map((minutes) => minutes * 60_000));
    expect(it.on({ type: 'authenticated' }).link.state()).toBe('connecting');
  },
);

test('a refused symbol leaves the connection as it is', () => {
  const it = rig({ symbols: ['A', 'B'] })
    .open()
    .on({ type: 'authenticated' });
  for (let i = 0; i < 3; i++) it.on({ type: 'error', text: 'symbol limit exceeded' });
  expect(it.said).toEqual(['open', 'ask', 'ask', 'ask']);
  expect(it.link.state()).toBe('live');
});

test('an error of the server with nothing under way ends nothing, and is the reason where the end follows', () => {
  const it = rig().live().on({ type: 'error', text: 'slow client' });
  expect([it.link.state(), it.said]).toEqual(['live', ['open', 'ask']]);
  it.on({ type: 'closed' });
  expect([it.link.state(), it.link.reason()]).toEqual(['connecting', 'slow client']);
});

test('a connection that ends without a word is said to be lost, whatever was wrong before', () => {
  const it = rig().open().fails('connect ECONNREFUSED');
  it.pass(1_000).on({ type: 'authenticated' }, { type: 'acknowledged', by: { bars: ['A'] } }, { type: 'closed' });
  expect(it.link.reason()).toBe('the connection was lost');
});

test('it opens only where there is room for what comes', () => {
  const it = rig().pass(10_000, false);
  expect(it.said).toEqual([]);
  expect(it.pass(1_000).said).toEqual(['open']);
});

test('an unusable connection is closed once', () => {
  const it = rig().live();
  it.on({ type: 'unusable', reason: 'r' }, { type: 'unusable', reason: 's' });
  expect([it.said, it.link.state(), it.link.reason()]).toEqual([['open', 'ask', 'close'], 'connecting', 'r']);
});

test('the pauses are what the documentation says', () => {
  expect(TIMINGS).toMatchObject({
    authMs: 15_000,
    retryFirstMs: 1_000,
    retryMaxMs: 30_000,
    limitMs: 90_000,
    refusedFirstMs: 60_000,
    refusedMaxMs: 600_000,
    staleMs: 200_000,
    lateMs: 20_000,
  });
});
