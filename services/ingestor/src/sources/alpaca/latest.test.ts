import { MINUTE_MS } from '@candlewire/contracts';
import {
  FAKE_KEY,
  FAKE_SECRET,
  type FakeAlpaca,
  type FakeAlpacaOptions,
  MONDAY_OPEN,
  manualClock,
  startFakeAlpaca,
} from '@candlewire/testkit';
import { RateLimited } from '../source';
import { createHistory } from './history';
import { createLatest, type Latest } from './latest';
import { createRespite } from './respite';
import type { Feed } from './settings';

const NOW = MONDAY_OPEN + 60 * MINUTE_MS;
const { signal } = new AbortController();

let fake: FakeAlpaca;
const respite = () => createRespite({ elapsedMs: fake.now });
afterEach(() => fake.close());

async function latest(feed: Feed = 'iex', options: Partial<FakeAlpacaOptions> = {}): Promise<Latest> {
  fake = await startFakeAlpaca({ clock: manualClock(NOW), ...options });
  return createLatest({ ...rest(), feed });
}

const rest = (shared = respite()) => ({
  keyId: FAKE_KEY,
  secret: FAKE_SECRET,
  url: fake.origin,
  respite: shared,
});

const newestOf = (symbol: string, now = NOW) => fake.market.history(symbol, NOW - 3_600_000, NOW, now).at(-1)!.openTime;

test('tells the last minute of which there is a bar, of the symbols that have one', async () => {
  const ask = await latest();
  expect([...(await ask(['AAPL', 'MSFT', 'NOBODY'], signal))].sort()).toEqual([
    ['AAPL', newestOf('AAPL')],
    ['MSFT', newestOf('MSFT')],
  ]);
});

test('of the feed that is streamed, which may be late', async () => {
  const ask = await latest('delayed_sip');
  const [[, openTime]] = [...(await ask(['AAPL'], signal))] as [[string, number]];
  expect(openTime).toBe(newestOf('AAPL', NOW - 15 * MINUTE_MS));
});

test('a symbol that is refused is found out, and not asked about again', async () => {
  const asked: string[] = [];
  const requests = ({ query }: { query: URLSearchParams }) => {
    asked.push(query.get('symbols')!);
    return query.get('symbols')!.split(',').includes('BAD') ? ({ status: 400 } as const) : undefined;
  };
  const ask = await latest('iex', { faults: { requests } });
  const symbols = ['AAPL', 'BAD', 'MSFT'];
  expect([...(await ask(symbols, signal)).keys()].sort()).toEqual(['AAPL', 'MSFT']);
  asked.length = 0;
  expect((await ask(symbols, signal)).size).toBe(2);
  expect(asked).toEqual(['AAPL,MSFT']);
  expect((await ask(['BAD'], signal)).size).toBe(0);
  expect(asked).toHaveLength(1);
});

test('where the server wants to be left alone, neither this nor history asks anything for so long', async () => {
  const clock = manualClock(NOW);
  let count = 0;
  const requests = () => (++count === 1 ? ({ status: 429, retryAfterS: 30 } as const) : undefined);
  fake = await startFakeAlpaca({ clock, faults: { requests } });
  const both = rest();
  const ask = createLatest({ ...both, feed: 'iex' });
  const history = createHistory({ ...both, time: clock, onRefused: () => {} });
  const page = () => history('AAPL', MONDAY_OPEN, MONDAY_OPEN + MINUTE_MS, signal).next();
  await expect(ask(['AAPL'], signal)).rejects.toThrow(RateLimited);
  fake.advanceTo(NOW + 29_000);
  await expect(page()).rejects.toEqual(new RateLimited(1_000));
  await expect(ask(['AAPL'], signal)).rejects.toThrow(RateLimited);
  expect(count).toBe(1);
  fake.advanceTo(NOW + 30_000);
  expect((await page()).done).toBe(false);
  expect((await ask(['AAPL'], signal)).size).toBe(1);
});
