import { createSubscriptions, type Request, type StreamChannel, type Subscriptions } from './subscriptions';

const NOW = 1_000_000;
const SYMBOL_MS = 600_000;
const ALL: readonly StreamChannel[] = ['bars', 'updatedBars', 'trades'];

const subscriptions = (options: { max?: number; channels?: readonly StreamChannel[] } = {}) =>
  createSubscriptions({ max: 30, channels: ALL, symbolMs: SYMBOL_MS, errorMs: 5_000, ...options });

const numbered = (count: number, letter = 'S') => Array.from({ length: count }, (_, i) => `${letter}${i}`);

/** A server with a limit that refuses some symbols altogether, and what it was asked. */
function server(set: Subscriptions, { limit = 1_000_000, bad = [] as readonly string[], code = 405 } = {}) {
  let have = new Set<string>();
  const asked: Request[] = [];
  return {
    asked,
    have: () => [...have],
    dropped() {
      have = new Set();
      set.opened();
    },
    /** Answers until nothing is asked for. */
    settle(now = NOW) {
      for (let request = set.next(now); request !== null; request = set.next(now)) {
        asked.push(request);
        if (asked.length > 500) throw new Error('no end of requests');
        const { action, symbols } = request;
        const next = new Set(have);
        for (const symbol of symbols) next[action === 'subscribe' ? 'add' : 'delete'](symbol);
        if (action === 'subscribe' && (next.size > limit || symbols.some((one) => bad.includes(one)))) {
          set.refused(code, now);
          continue;
        }
        have = next;
        set.acknowledged({ bars: [...have], updatedBars: [...have], trades: [...have] }, now);
      }
    },
  };
}

test('everything that is wanted is asked for in one request with all channels', () => {
  const set = subscriptions();
  set.want(['A', 'B']);
  expect(set.next(NOW)).toEqual({ action: 'subscribe', channels: ALL, symbols: ['A', 'B'] });
});

test('nothing is asked for while a request is under way', () => {
  const set = subscriptions();
  set.want(['A']);
  set.next(NOW);
  set.want(['A', 'B']);
  expect([set.next(NOW), set.askedAt(), set.isSettled(NOW)]).toEqual([null, NOW, false]);
  set.acknowledged({ bars: ['A'], updatedBars: ['A'], trades: ['A'] }, NOW);
  expect(set.next(NOW)?.symbols).toEqual(['B']);
});

test('what is not wanted any more is unsubscribed before anything else is asked for', () => {
  const set = subscriptions({ max: 2 });
  const upstream = server(set, { limit: 2 });
  set.want(['A', 'B']);
  upstream.settle();
  set.want(['B', 'C']);
  upstream.settle();
  expect(upstream.asked.slice(1).map(({ action, symbols }) => [action, symbols])).toEqual([
    ['unsubscribe', ['A']],
    ['subscribe', ['C']],
  ]);
  expect(set.flowing()).toEqual(['B', 'C']);
});

test('beyond the limit the first ones are taken, and the rest is left out', () => {
  const set = subscriptions({ max: 2 });
  const upstream = server(set);
  set.want(['A', 'B', 'C', 'D']);
  upstream.settle();
  expect([set.flowing(), set.leftOut(), set.isSettled(NOW)]).toEqual([['A', 'B'], ['C', 'D'], true]);
});

test('an acknowledgement that lacks a channel of a symbol brings it on again, one with more takes that away', () => {
  const set = subscriptions();
  set.want(['A', 'B']);
  server(set).settle();
  set.acknowledged({ bars: ['A', 'B', 'X'], updatedBars: ['A', 'B'], trades: ['B'] }, NOW);
  expect(set.flowing()).toEqual(['B']);
  expect(set.next(NOW)).toMatchObject({ action: 'unsubscribe', symbols: ['X'] });
  set.acknowledged({ bars: ['A', 'B'], updatedBars: ['A', 'B'], trades: ['B'] }, NOW);
  expect(set.next(NOW)).toMatchObject({ action: 'subscribe', symbols: ['A'] });
});

test('one symbol that is refused does not take the others with it, now or on the next connection', () => {
  const set = subscriptions();
  const upstream = server(set, { bad: ['S7'] });
  set.want(numbered(20));
  upstream.settle();
  const others = numbered(20).filter((symbol) => symbol !== 'S7');
  expect([set.flowing(), set.leftOut()]).toEqual([others, ['S7']]);
  const asked = upstream.asked.length;
  upstream.dropped();
  expect(set.flowing()).toEqual([]);
  upstream.settle();
  expect(set.flowing()).toEqual(others);
  expect(upstream.asked.length - asked).toBe(1);
});

test('a symbol that was refused is asked for again later, and alone', () => {
  const set = subscriptions();
  const bad = ['S3'];
  const upstream = server(set, { bad });
  set.want(numbered(5));
  upstream.settle();
  upstream.settle(NOW + SYMBOL_MS - 1);
  expect(set.leftOut()).toEqual(['S3']);
  bad.pop();
  const asked = upstream.asked.length;
  upstream.settle(NOW + SYMBOL_MS);
  expect(upstream.asked.slice(asked).map(({ symbols }) => symbols)).toEqual([['S3']]);
  expect([set.flowing(), set.leftOut()]).toEqual([numbered(5), []]);
});

test('a limit of the server that nobody knew of is filled to the last place, with few requests', () => {
  const set = subscriptions({ max: 10_000 });
  const upstream = server(set, { limit: 30 });
  set.want(numbered(2_000));
  upstream.settle();
  expect(set.flowing()).toEqual(numbered(30));
  expect(set.leftOut()).toHaveLength(1_970);
  expect(upstream.asked.length).toBeLessThan(40);
  expect(set.isSettled(NOW)).toBe(true);
});

test('and filled again at once on the next connection', () => {
  const set = subscriptions();
  set.want(numbered(30));
  server(set, { limit: 20 }).settle();
  expect(set.flowing()).toHaveLength(20);
  set.opened();
  server(set, { limit: 20 }).settle(NOW + 1);
  expect(set.flowing()).toHaveLength(20);
});

test('whoever has a place keeps it when those that were refused are tried again', () => {
  const set = subscriptions({ max: 3 });
  const upstream = server(set, { bad: ['S0'] });
  set.want(numbered(4));
  upstream.settle();
  expect(set.flowing()).toEqual(['S1', 'S2', 'S3']);
  const asked = upstream.asked.length;
  upstream.settle(NOW + 2 * SYMBOL_MS);
  expect([set.flowing(), upstream.asked.length]).toEqual([['S1', 'S2', 'S3'], asked]);
});

test('room that is made is given to those who found none', () => {
  const set = subscriptions();
  const upstream = server(set, { limit: 2 });
  set.want(['A', 'B', 'C']);
  upstream.settle();
  expect(set.leftOut()).toEqual(['C']);
  set.want(['B', 'C']);
  upstream.settle();
  expect([set.flowing(), set.leftOut()]).toEqual([['B', 'C'], []]);
});

test('a channel that the feed does not have is given up, the last first', () => {
  const set = subscriptions();
  set.want(['A']);
  set.next(NOW);
  set.refused(410, NOW);
  expect(set.next(NOW)).toEqual({ action: 'subscribe', channels: ['bars', 'updatedBars'], symbols: ['A'] });
  set.acknowledged({ bars: ['A'], updatedBars: ['A'] }, NOW);
  expect(set.flowing()).toEqual(['A']);
  set.want([]);
  expect(set.next(NOW)).toEqual({ action: 'unsubscribe', channels: ['bars', 'updatedBars'], symbols: ['A'] });
});

test('what the server failed at is asked for again as it was, after a while', () => {
  const set = subscriptions();
  set.want(['A', 'B']);
  set.next(NOW);
  set.refused(500, NOW);
  expect([set.next(NOW + 4_999), set.isSettled(NOW + 4_999)]).toEqual([null, false]);
  expect(set.next(NOW + 5_000)?.symbols).toEqual(['A', 'B']);
});

test('a symbol that an acknowledgement leaves out counts as refused', () => {
  const set = subscriptions();
  set.want(['A', 'B']);
  set.next(NOW);
  set.acknowledged({ bars: ['A'], updatedBars: ['A'], trades: ['A'] }, NOW);
  expect([set.next(NOW), set.leftOut()]).toEqual([null, ['B']]);
});

test('what the server does not stop sending is not unsubscribed for ever', () => {
  const set = subscriptions();
  set.acknowledged({ bars: ['X'], updatedBars: [], trades: [] }, NOW);
  expect(set.next(NOW)).toMatchObject({ action: 'unsubscribe', symbols: ['X'] });
  set.acknowledged({ bars: ['X'], updatedBars: [], trades: [] }, NOW);
  expect(set.next(NOW)).toBeNull();
});

test('a symbol does not flow any more once its end was asked for', () => {
  const set = subscriptions();
  set.want(['A', 'B']);
  server(set).settle();
  const wish = ['A'];
  set.want(wish);
  expect(set.flowing()).toEqual(['A']);
  set.next(NOW);
  set.want(['A', 'B']);
  expect(set.flowing()).toEqual(['A']);
});
