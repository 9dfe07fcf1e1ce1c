import { type Bar, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import {
  FAKE_KEY,
  FAKE_SECRET,
  type FakeAlpaca,
  type FakeAlpacaOptions,
  MONDAY_OPEN,
  manualClock,
  type RequestFault,
  startFakeAlpaca,
} from '@candlewire/testkit';
import { type HistoryPage, HistoryRefused, RateLimited } from '../source';
import { createHistory, type History } from './history';
import { createRespite } from './respite';

const NOW = MONDAY_OPEN + 6 * HOUR_MS;
const TO = MONDAY_OPEN + 5 * HOUR_MS;
const SIP = { plan: { sip: true } } as const;

let fake: FakeAlpaca;
let refused: string[];
let stop: AbortController;

beforeEach(() => {
  refused = [];
  stop = new AbortController();
});
afterEach(() => fake.close());

async function history(options: Partial<FakeAlpacaOptions> = {}, requestMs = 5_000): Promise<History> {
  fake = await startFakeAlpaca({ clock: manualClock(NOW), ...options });
  const onRefused = (reason: string) => refused.push(reason);
  const keys = { keyId: FAKE_KEY, secret: FAKE_SECRET };
  return createHistory({
    ...keys,
    url: fake.origin,
    time: { now: fake.now },
    onRefused,
    respite: createRespite({ elapsedMs: fake.now }),
    requestMs,
  });
}

const faulty = (...faults: readonly (RequestFault | undefined)[]) => ({
  faults: { requests: ({ number }: { number: number }) => faults[number - 1] },
});

async function pages(from: History, begin = MONDAY_OPEN, to = TO, symbol = 'AAPL'): Promise<HistoryPage[]> {
  const all: HistoryPage[] = [];
  for await (const page of from(symbol, begin, to, stop.signal)) all.push(page);
  return all;
}

const barsIn = (list: readonly HistoryPage[]): Bar[] => list.flatMap(({ bars }) => bars);
const truth = (from: number, to: number, symbol = 'AAPL') => fake.market.history(symbol, from, to, fake.now());

test('a page holds all bars of the range, as they are at the exchange, and answers for all of it', async () => {
  const list = await pages(await history(SIP));
  expect(list).toEqual([{ bars: truth(MONDAY_OPEN, TO), answeredTo: TO }]);
});

test('the minute at the end of the range is not part of it', async () => {
  const from = MONDAY_OPEN + 3 * MINUTE_MS;
  const list = await pages(await history(SIP), from, from + MINUTE_MS);
  expect(barsIn(list)).toEqual(truth(from, from + MINUTE_MS));
});

test('one request for each page, with the pages in their order and answered as far as they go', async () => {
  const list = await pages(await history({ ...SIP, ...faulty({ shortPage: 100 }, { shortPage: 100 }) }));
  expect(fake.requests).toHaveLength(3);
  expect(list.map(({ bars }) => bars.length).slice(0, 2)).toEqual([100, 100]);
  expect(barsIn(list)).toEqual(truth(MONDAY_OPEN, TO));
  expect(list.map(({ answeredTo }) => answeredTo)).toEqual([
    list[0]!.bars.at(-1)!.openTime + MINUTE_MS,
    list[1]!.bars.at(-1)!.openTime + MINUTE_MS,
    TO,
  ]);
});

test('no feed is named, and prices are as they were traded', async () => {
  await pages(await history(SIP));
  const query = Object.fromEntries(fake.requests[0]!.query);
  expect(query).toMatchObject({ timeframe: '1Min', limit: '10000' });
  expect(query).not.toHaveProperty('feed');
  expect(query.adjustment ?? 'raw').toBe('raw');
});

test('a plan without recent SIP is found out once, and answered up to 16 minutes ago', async () => {
  const get = await history();
  const wall = NOW - 16 * MINUTE_MS;
  const list = await pages(get, MONDAY_OPEN, NOW);
  // A page for each request.
  expect(list).toEqual([
    { bars: [], answeredTo: MONDAY_OPEN },
    { bars: truth(MONDAY_OPEN, wall), answeredTo: wall },
  ]);
  expect(fake.requests.map(({ status }) => status)).toEqual([403, 200]);
  await pages(get, MONDAY_OPEN, NOW);
  expect(fake.requests.map(({ status }) => status)).toEqual([403, 200, 200]);
});

test('two that find it out at once both go on', async () => {
  const get = await history();
  const wall = NOW - 16 * MINUTE_MS;
  const [one, other] = await Promise.all([pages(get, MONDAY_OPEN, NOW), pages(get, MONDAY_OPEN, NOW)]);
  expect(fake.requests.map(({ status }) => status)).toEqual([403, 403, 200, 200]);
  expect(one.at(-1)).toEqual({ bars: truth(MONDAY_OPEN, wall), answeredTo: wall });
  expect(other).toEqual(one);
});

test('of what lies behind it altogether, the refusal is the only request and its page the only one', async () => {
  const list = await pages(await history(), NOW - 5 * MINUTE_MS, NOW);
  expect(list).toEqual([{ bars: [], answeredTo: NOW - 16 * MINUTE_MS }]);
  expect(fake.requests.map(({ status }) => status)).toEqual([403]);
});

test('a plan that refuses everything as recent is an error, not a loop', async () => {
  const get = await history({ faults: { requests: () => ({ sip: true }) } });
  await expect(pages(get)).rejects.toThrow('history failed (403)');
  expect(fake.requests).toHaveLength(2);
});

test('behind that wall nothing is asked for, and the answer says where it stands', async () => {
  const get = await history();
  await pages(get, MONDAY_OPEN, NOW);
  expect(await pages(get, NOW - 5 * MINUTE_MS, NOW)).toEqual([{ bars: [], answeredTo: NOW - 16 * MINUTE_MS }]);
  expect(fake.requests).toHaveLength(2);
});

test('the refusal in the middle of the pages begins again without its token', async () => {
  const list = await pages(await history(faulty({ shortPage: 10 }, { sip: true })), MONDAY_OPEN, TO);
  const bars = truth(MONDAY_OPEN, TO);
  expect(list.at(-1)).toEqual({ bars, answeredTo: TO });
});

test('a plan with real-time SIP answers up to the minute that goes on', async () => {
  const get = await history({ ...SIP, clock: manualClock(NOW + 30_000) });
  const list = await pages(get, NOW - HOUR_MS, NOW + HOUR_MS);
  expect(list.at(-1)!.answeredTo).toBe(NOW);
});

test.each([
  ['with', { status: 429, retryAfterS: 7 }, 7_000, 7_000],
  ['without', { status: 429 }, 1_000, 60_000],
])('too many requests %s Retry-After says how long to wait', async (_, fault, least, most) => {
  const failure = await pages(await history({ ...SIP, ...faulty(fault) })).catch((err: unknown) => err);
  expect(failure).toBeInstanceOf(RateLimited);
  expect((failure as RateLimited).retryAfterMs).toBeGreaterThanOrEqual(least);
  expect((failure as RateLimited).retryAfterMs).toBeLessThanOrEqual(most);
  expect(fake.requests).toHaveLength(1);
});

test.each<[string, RequestFault]>([
  ['500', { status: 500 }],
  ['403', { status: 403, message: 'forbidden.' }],
  ['a body that is none', { badBody: true }],
  ['a cut connection', { drop: true }],
  ['no answer', { hang: true }],
])('%s is an error that may be tried again, after one request', async (_, fault) => {
  // What is answered is answered in time, also by a busy machine.
  const get = await history({ ...SIP, ...faulty(fault) }, 4_000);
  const failure = await pages(get).catch((err: unknown) => err);
  expect(failure).toBeInstanceOf(Error);
  expect(failure).not.toBeInstanceOf(HistoryRefused);
  expect(failure).not.toBeInstanceOf(RateLimited);
  expect((failure as Error).message).not.toContain(FAKE_SECRET);
  expect(fake.requests).toHaveLength(1);
  expect(barsIn(await pages(get))).toHaveLength(truth(MONDAY_OPEN, TO).length);
});

test('what is invalid is refused for good', async () => {
  const get = await history({ ...SIP, ...faulty({ status: 422, message: 'invalid symbol' }) });
  await expect(pages(get)).rejects.toThrow(HistoryRefused);
});

test('no bars at all means that there were no trades', async () => {
  const get = await history({ ...SIP, ...faulty({ nullBars: true }) });
  expect(await pages(get)).toEqual([{ bars: [], answeredTo: TO }]);
  expect(await pages(get, MONDAY_OPEN, TO, 'ZZZZ')).toEqual([{ bars: [], answeredTo: TO }]);
});

test('pages that lead nowhere end with an error, and what came before counts', async () => {
  const get = await history({
    ...SIP,
    faults: { requests: ({ number }) => (number === 1 ? { shortPage: 50 } : { repeatToken: true }) },
  });
  const list: HistoryPage[] = [];
  const read = async () => {
    for await (const page of get('AAPL', MONDAY_OPEN, TO, stop.signal)) list.push(page);
  };
  await expect(read()).rejects.toThrow('history repeats a page');
  expect(list[0]!.bars).toHaveLength(50);
  expect(fake.requests.length).toBeLessThan(4);
});

test('a request that is under way ends with the signal, without an error', async () => {
  const get = await history({ ...SIP, ...faulty({ hang: true }) }, 60_000);
  const reading = pages(get);
  setImmediate(() => stop.abort());
  expect(await reading).toEqual([]);
});
