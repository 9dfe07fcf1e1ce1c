import { type RawWireBar, toBar } from '@candlewire/alpaca';
import { type Bar, DAY_MS, HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { MONDAY_OPEN } from '../bars';
import { manualClock } from './clock';
import { FAKE_KEY, FAKE_SECRET, type FakeAlpaca } from './fake-alpaca';
import type { RequestFault } from './faults';
import { BAR_DELAY_MS, createAlpacaMarket } from './market';
import { alpacaRig } from './rig.suite';

const HEADERS = { 'APCA-API-KEY-ID': FAKE_KEY, 'APCA-API-SECRET-KEY': FAKE_SECRET };
const CLOSE = MONDAY_OPEN + 6.5 * HOUR_MS;
const AFTER = { clock: manualClock(CLOSE + HOUR_MS) };

const rig = alpacaRig();
afterEach(rig.end);

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server says, for the matchers to look at
  readonly body: any;
}

async function get(
  fake: FakeAlpaca,
  path: string,
  query: object = {},
  headers: Record<string, string> = HEADERS,
): Promise<Reply> {
  const params = new URLSearchParams(query as Record<string, string>);
  const reply = await fetch(`${fake.origin}${path}?${params}`, { headers });
  return { status: reply.status, headers: reply.headers, body: JSON.parse(await reply.text()) };
}

const barsIn = (symbol: string, rows: readonly RawWireBar[]) =>
  rows.map((row) => toBar(symbol, row, 4, Date.now()) as Bar);
const iso = (ms: number) => new Date(ms).toISOString();

async function pages(fake: FakeAlpaca, query: object): Promise<Reply[]> {
  const replies: Reply[] = [];
  for (let token: string | null = null; ; ) {
    const reply = await get(fake, '/v2/stocks/bars', { ...query, ...(token && { page_token: token }) });
    replies.push(reply);
    token = reply.body.next_page_token;
    if (token === null) return replies;
  }
}

describe('bars', () => {
  const QUERY = { symbols: 'MSFT,AAPL', timeframe: '1Min', start: iso(MONDAY_OPEN), end: iso(CLOSE), feed: 'iex' };
  const minutes = (fake: FakeAlpaca, symbol: string, from = MONDAY_OPEN, to = CLOSE + 1) =>
    fake.market.history(symbol, from, to, fake.now());

  test.each(['asc', 'desc'] as const)('%s, page by page, symbol by symbol, are the history as of now', async (sort) => {
    const fake = await rig.start(AFTER);
    const replies = await pages(fake, { ...QUERY, limit: 100, sort });
    expect(replies.slice(0, -1).map(({ body }) => Object.values(body.bars).flat().length)).toEqual(
      new Array(replies.length - 1).fill(100),
    );
    for (const symbol of ['AAPL', 'MSFT']) {
      const rows = replies.flatMap(({ body }) => body.bars[symbol] ?? []);
      const expected = minutes(fake, symbol);
      expect(barsIn(symbol, rows)).toEqual(sort === 'asc' ? expected : expected.reverse());
    }
    expect(Object.keys(replies[0]!.body.bars)).toEqual(['AAPL']);
    expect(replies.at(-1)!.body.next_page_token).toBeNull();
  });

  test('both ends are inclusive, and an end of full pages has no token', async () => {
    const fake = await rig.start({ ...AFTER, market: createAlpacaMarket({ chances: { quiet: 0 } }) });
    const end = iso(MONDAY_OPEN + 9 * MINUTE_MS);
    const { body } = await get(fake, '/v2/stocks/AAPL/bars', { ...QUERY, end, limit: 10 });
    expect(body).toMatchObject({ symbol: 'AAPL', next_page_token: null });
    expect(body.bars).toHaveLength(10);
  });

  test('nothing is told before it happened', async () => {
    const end = MONDAY_OPEN + 10 * MINUTE_MS;
    const fake = await rig.start({ clock: manualClock(end + BAR_DELAY_MS - 1), plan: { sip: true } });
    const { body } = await get(fake, '/v2/stocks/AAPL/bars', {
      timeframe: '1Min',
      start: iso(MONDAY_OPEN),
      end: iso(CLOSE),
    });
    expect(body.bars.at(-1).t < iso(end - MINUTE_MS)).toBe(true);
    expect(barsIn('AAPL', body.bars)).toEqual(minutes(fake, 'AAPL', MONDAY_OPEN, end));
  });

  test('wider bars are rolled up from minutes, days are days', async () => {
    const fake = await rig.start(AFTER);
    const hours = await get(fake, '/v2/stocks/AAPL/bars', { ...QUERY, timeframe: '1Hour' });
    const [first] = barsIn('AAPL', hours.body.bars);
    const within = minutes(fake, 'AAPL', first!.openTime, first!.openTime + HOUR_MS);
    expect(first).toMatchObject({
      openTime: MONDAY_OPEN + HOUR_MS / 2,
      open: within[0]!.open,
      close: within.at(-1)!.close,
      volume: within.reduce((sum, { volume }) => sum + volume, 0),
    });
    const days = await get(fake, '/v2/stocks/AAPL/bars', {
      timeframe: '1Day',
      start: '2025-10-27',
      end: '2025-11-03',
      feed: 'iex',
    });
    expect(days.body.bars.map(({ t }: { t: string }) => t.slice(0, 13))).toEqual([
      ...['10-27', '10-28', '10-29', '10-30', '10-31'].map((day) => `2025-${day}T04`),
      '2025-11-03T05',
    ]);
  });

  test.each([
    [{ feed: 'iex', end: CLOSE + HOUR_MS }, 200],
    [{ feed: 'sip', end: CLOSE + 45 * MINUTE_MS }, 200],
    [{ feed: 'sip', end: CLOSE + 46 * MINUTE_MS }, 403],
    [{ end: CLOSE + 46 * MINUTE_MS }, 403],
    [{}, 200],
    [{ feed: 'moon' }, 400],
  ])(
    'the last fifteen minutes without SIP: %p is %p',
    async ({ end, ...more }: { end?: number; feed?: string }, status) => {
      const fake = await rig.start(AFTER);
      const query = { timeframe: '1Min', start: iso(CLOSE), ...(end && { end: iso(end) }), ...more };
      const { body, ...reply } = await get(fake, '/v2/stocks/AAPL/bars', query);
      expect(reply.status).toBe(status);
      if (status === 200) expect(body.bars.at(-1).t <= iso(end ?? CLOSE + 45 * MINUTE_MS)).toBe(true);
      if (status === 403) expect(body.message).toContain('SIP');
    },
  );

  test('unknown symbols have none', async () => {
    const fake = await rig.start(AFTER);
    expect((await get(fake, '/v2/stocks/bars', { ...QUERY, symbols: 'NONE' })).body).toEqual({
      bars: {},
      next_page_token: null,
    });
  });
});

test('the latest bar and trade are those of now', async () => {
  const fake = await rig.start({ clock: manualClock(MONDAY_OPEN + HOUR_MS) });
  const bar = fake.market.history('AAPL', MONDAY_OPEN, fake.now(), fake.now()).at(-1);
  const single = await get(fake, '/v2/stocks/AAPL/bars/latest');
  expect(barsIn('AAPL', [single.body.bar])).toEqual([bar]);
  const many = await get(fake, '/v2/stocks/bars/latest', { symbols: 'AAPL,NONE' });
  expect(many.body).toEqual({ bars: { AAPL: single.body.bar } });
  const trade = await get(fake, '/v2/stocks/AAPL/trades/latest');
  expect(Date.parse(trade.body.trade.t)).toBeLessThanOrEqual(fake.now());
  const snapshot = await get(fake, '/v2/stocks/AAPL/snapshot');
  expect(snapshot.body).toMatchObject({ symbol: 'AAPL', latestTrade: trade.body.trade, minuteBar: single.body.bar });
  expect(snapshot.body.prevDailyBar.t).toBe('2025-10-31T04:00:00Z');
});

describe('trading host', () => {
  test('the calendar lists trading days, half days with their close', async () => {
    const fake = await rig.start();
    const { body } = await get(fake, '/v2/calendar', { start: '2026-11-25', end: '2026-11-30' });
    const row = { open: '09:30', close: '16:00', session_open: '0400', session_close: '2000' };
    expect(body).toEqual([
      { ...row, date: '2026-11-25', settlement_date: '2026-11-27' },
      { ...row, date: '2026-11-27', close: '13:00', session_close: '1700', settlement_date: '2026-11-30' },
      { ...row, date: '2026-11-30', settlement_date: '2026-12-01' },
    ]);
  });

  test('the clock knows the next open and close', async () => {
    const fake = await rig.start({ clock: manualClock(MONDAY_OPEN - DAY_MS) });
    expect((await get(fake, '/v2/clock')).body).toEqual({
      timestamp: '2025-11-02T09:30:00-05:00',
      is_open: false,
      next_open: '2025-11-03T09:30:00-05:00',
      next_close: '2025-11-03T16:00:00-05:00',
    });
    fake.advanceTo(MONDAY_OPEN);
    expect((await get(fake, '/v2/clock')).body).toMatchObject({
      is_open: true,
      next_open: '2025-11-04T09:30:00-05:00',
      next_close: '2025-11-03T16:00:00-05:00',
    });
  });

  test('assets are what is listed', async () => {
    const fake = await rig.start();
    const { body } = await get(fake, '/v2/assets', { status: 'active', asset_class: 'us_equity' });
    expect(body.map(({ symbol }: { symbol: string }) => symbol)).toEqual(fake.market.symbols);
    expect((await get(fake, '/v2/assets/AAPL')).body).toMatchObject({ symbol: 'AAPL', tradable: true });
    expect((await get(fake, '/v2/assets/NONE')).status).toBe(404);
  });
});

describe('refusals', () => {
  const PATH = '/v2/stocks/AAPL/bars';
  const QUERY = { timeframe: '1Min', start: iso(MONDAY_OPEN), limit: '10', feed: 'iex' };
  const started = (fault: RequestFault) => rig.start({ ...AFTER, faults: { requests: { 1: fault } } });

  test('wrong or missing keys are 403, bad parameters 400, other paths 404', async () => {
    const fake = await rig.start(AFTER);
    expect((await get(fake, PATH, QUERY, {})).status).toBe(403);
    expect((await get(fake, PATH, QUERY, { ...HEADERS, 'APCA-API-SECRET-KEY': 'no' })).status).toBe(403);
    expect((await get(fake, PATH, { ...QUERY, timeframe: '61Min' })).status).toBe(400);
    expect((await get(fake, '/v3/stocks/AAPL/bars', QUERY)).status).toBe(404);
    expect(fake.requests.map(({ status }) => status)).toEqual([403, 403, 400, 404]);
  });

  test('the rate of requests is told and kept', async () => {
    const fake = await rig.start({ ...AFTER, plan: { requestsPerMinute: 2 } });
    const replies: Reply[] = [];
    const begunS = Date.now() / 1_000;
    // In case a new minute begins meanwhile.
    while (replies.at(-1)?.status !== 429 && replies.length < 6) replies.push(await get(fake, PATH, QUERY));
    expect(replies.at(-1)!.status).toBe(429);
    expect(replies[0]!.headers.get('X-RateLimit-Limit')).toBe('2');
    expect(replies[0]!.headers.get('X-RateLimit-Remaining')).toBe('1');
    expect(Number(replies[0]!.headers.get('X-RateLimit-Reset'))).toBeGreaterThan(begunS);
    expect((await get(fake, '/v2/clock')).status).toBe(200);
  });

  test.each([
    [{ status: 429, retryAfterS: 2 }, '2'],
    [{ status: 429 }, null],
    [{ status: 500 }, null],
  ])('%p once', async (fault, retryAfter) => {
    const fake = await started(fault);
    const reply = await get(fake, PATH, QUERY);
    expect([reply.status, reply.headers.get('Retry-After')]).toEqual([fault.status, retryAfter]);
    expect((await get(fake, PATH, QUERY)).status).toBe(200);
  });

  test('a short page still leads on', async () => {
    const fake = await started({ shortPage: 3 });
    const { body } = await get(fake, PATH, QUERY);
    expect(body.bars).toHaveLength(3);
    const next = await get(fake, PATH, { ...QUERY, page_token: body.next_page_token });
    expect(next.body.bars[0].t > body.bars[2].t).toBe(true);
  });

  test('null for bars', async () => {
    expect((await get(await started({ nullBars: true }), PATH, QUERY)).body).toEqual({
      bars: null,
      next_page_token: null,
    });
  });

  test('a token that leads back to itself', async () => {
    const fake = await rig.start({ ...AFTER, faults: { requests: () => ({ repeatToken: true }) } });
    const first = await get(fake, PATH, QUERY);
    const token = first.body.next_page_token;
    const second = await get(fake, PATH, { ...QUERY, page_token: token });
    expect(second.body.next_page_token).toBe(token);
  });

  test('403 for SIP, a body that is none, an answer that never comes', async () => {
    expect((await get(await started({ sip: true }), PATH, QUERY)).body.message).toContain('SIP');
    await expect(get(await started({ badBody: true }), PATH, QUERY)).rejects.toThrow(SyntaxError);
    await expect(get(await started({ drop: true }), PATH, QUERY)).rejects.toThrow('fetch failed');
    const fake = await started({ hang: true });
    const hanging = fetch(`${fake.origin}${PATH}`, { headers: HEADERS }).catch((err: Error) => err.message);
    expect((await get(fake, '/v2/clock')).status).toBe(200);
    await fake.close();
    expect(await hanging).toBe('fetch failed');
  });

  test('the script can go by path and count', async () => {
    const requests = ({ path, numberOfPath }: { path: string; numberOfPath: number }) =>
      path === PATH && numberOfPath === 2 ? { status: 500 } : undefined;
    const fake = await rig.start({ ...AFTER, faults: { requests } });
    const statuses = [];
    for (const path of [PATH, '/v2/clock', PATH, PATH]) statuses.push((await get(fake, path, QUERY)).status);
    expect(statuses).toEqual([200, 200, 500, 200]);
  });
});

test('a million bars in pages of ten thousand take seconds', async () => {
  const market = createAlpacaMarket({ calendar: loadCalendar('24x7'), symbols: ['AAPL'], chances: { quiet: 0 } });
  const fake = await rig.start({ clock: manualClock(MONDAY_OPEN), market });
  const start = iso(MONDAY_OPEN - 200_000 * MINUTE_MS);
  const begun = performance.now();
  const replies = await pages(fake, {
    symbols: 'AAPL',
    timeframe: '1Min',
    start,
    end: iso(MONDAY_OPEN - HOUR_MS),
    limit: 10_000,
  });
  expect(replies.flatMap(({ body }) => body.bars.AAPL)).toHaveLength(200_000 - 59);
  // A fifth of it; about 1 s on an idle machine with the client's parsing.
  expect(performance.now() - begun).toBeLessThan(20_000);
});
