import { waitFor } from '@candlewire/testkit';
import { CandleFeed } from './candle-feed.ts';
import { CandlewireError } from './errors.ts';
import type { CandlesPage, SeriesEvent } from './types.ts';

const SERIES = { symbol: 'AAPL', interval: '1m' } as const;
const PAGE: CandlesPage = { ...SERIES, epoch: 'e', seq: 3, candles: [], next_cursor: null };

test('who waits to load a snapshot again does so at once when there is a connection again', async () => {
  let asked = 0;
  let isUp = false;
  const loadPage = async (): Promise<CandlesPage> => {
    asked++;
    if (isUp) return PAGE;
    throw new CandlewireError('nobody there', { code: 'network', retryable: true });
  };
  let id = 0;
  const feed = new CandleFeed({ loadPage, wake: () => {}, nextId: () => ++id });
  const follow = () => {
    const events: SeriesEvent[] = [];
    feed.follow(SERIES, 10, { event: (event) => events.push(event), failed: fail });
    return events;
  };
  const first = follow();
  feed.next();
  feed.take({ type: 'snapshot', ...SERIES, epoch: 'e', seq: 1, candles: [] });
  expect(first).toHaveLength(1);
  const late = follow();
  await waitFor(() => asked === 1);
  feed.lost();
  isUp = true;
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
  try {
    feed.opened();
    // No timer goes: it waits for none.
    for (let n = 0; n < 20; n++) await Promise.resolve();
  } finally {
    jest.useRealTimers();
  }
  expect([asked, late.map(({ type }) => type)]).toEqual([2, ['snapshot']]);
  feed.end();
});

test('a page that is being loaded is not asked for again, however often the connection comes back', async () => {
  let asked = 0;
  let answer = (_page: CandlesPage) => {};
  const loadPage = (): Promise<CandlesPage> => {
    asked++;
    return new Promise((resolve) => (answer = resolve));
  };
  let id = 0;
  const feed = new CandleFeed({ loadPage, wake: () => {}, nextId: () => ++id });
  const events: SeriesEvent[] = [];
  feed.follow(SERIES, 10, { event: () => {}, failed: fail });
  feed.next();
  feed.take({ type: 'snapshot', ...SERIES, epoch: 'e', seq: 1, candles: [] });
  feed.follow(SERIES, 10, { event: (event) => events.push(event), failed: fail });
  for (let n = 0; n < 3; n++) {
    feed.lost();
    feed.opened();
  }
  expect(asked).toBe(1);
  answer(PAGE);
  await waitFor(() => events.length === 1);
  feed.end();
});

test('a series that was refused for now, and that nobody follows any more, is unsubscribed', () => {
  const loadPage = () => Promise.reject(new Error('nobody loads'));
  let id = 0;
  const feed = new CandleFeed({ loadPage, wake: () => {}, nextId: () => ++id });
  const leave = feed.follow(SERIES, 10, { event: () => {}, failed: fail });
  feed.next();
  feed.take({ type: 'error', id, code: 'unavailable', message: 'some of them' });
  leave();
  expect(feed.next()).toMatchObject({ type: 'unsubscribe', symbols: ['AAPL'] });
  feed.end();
});

function fail(error: CandlewireError): never {
  throw error;
}
