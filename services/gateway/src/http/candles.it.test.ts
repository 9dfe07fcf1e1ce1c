import { connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { CandlesResponse, channelsOf, MINUTE_MS, toIso } from '@candlewire/contracts';
import { runPhases, silentLogger } from '@candlewire/runtime';
import { MONDAY_OPEN } from '@candlewire/testkit';
import type { Express } from 'express';
import request from 'supertest';
import { createGateway, type Gateway } from '../gateway';
import { NO_REDIS, type TestStore, testStore, testWriter, type Writer } from '../rig.suite';

const calendar = createCalendar('24x7', '');
/** Candles need no Redis: all of this runs while there is none. */
const bus = connectBus({ url: NO_REDIS, prefix: 'test', logger: silentLogger });
let db: TestStore;
let writer: Writer;
let app: Express;
const gateways: Gateway[] = [];

function gatewayApp(): Express {
  const calendars = { nyse: calendar, '24x7': calendar };
  const deps = { store: db.store, bus, channels: channelsOf('test'), calendars, logger: silentLogger };
  const gateway = createGateway({ ...deps, corsOrigins: '*' });
  gateways.push(gateway);
  return gateway.app;
}

async function get(path: string, of: Express = app): Promise<CandlesResponse> {
  const response = await request(of).get(path).expect(200);
  return CandlesResponse.strict().parse(response.body);
}

const minute = (at: number): string => toIso(MONDAY_OPEN + at * MINUTE_MS);
const minutes = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => [from + at, 100 + from + at] as const);
const times = (page: CandlesResponse): string[] => page.candles.map(({ timestamp }) => timestamp);

beforeAll(async () => {
  db = await testStore();
  writer = await testWriter(db.store);
  app = gatewayApp();
  await writer.commit('AAPL', '1m', minutes(0, 150));
  await writer.commit('AAPL', '5m', [
    [0, 104],
    [5, 109],
  ]);
});

afterAll(async () => {
  for (const gateway of gateways) await runPhases(gateway.shutdown, silentLogger);
  await bus.close();
  await db?.drop();
});

describe('a page', () => {
  test('holds the newest 100 minutes where nothing else is said', async () => {
    const page = await get('/api/candles/AAPL');
    expect(page).toMatchObject({ symbol: 'AAPL', interval: '1m', epoch: (await db.store.identity())!.epoch, seq: 150 });
    expect(times(page)).toEqual(minutes(50, 150).map(([at]) => minute(at)));
    expect(page.next_cursor).not.toBeNull();
  });

  test('is the text that the contract shows', async () => {
    const { epoch } = (await db.store.identity())!;
    const response = await request(app).get('/api/candles/aapl?interval=5m&limit=1').expect(200);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.text.replace(/"next_cursor":"[\w-]+"/, '"next_cursor":"…"')).toBe(
      `{"symbol":"AAPL","interval":"5m","epoch":"${epoch}","seq":2,"candles":[{"timestamp":"2025-11-03T14:35:00Z","open":109,"high":109.5,"low":108.75,"close":109,"volume":100,"vwap":109.125,"trade_count":null,"market_status":"regular","ATR":null,"RSI":null,"MA40":null,"MA80":null,"MA160":null,"final":false,"revision":1,"seq":2}],"next_cursor":"…"}`,
    );
  });

  test.each([
    ['the newest up to end, which it includes', `end=${minute(9)}&limit=3`, [7, 8, 9]],
    ['the newest up to an end between two minutes', `end=${toIso(MONDAY_OPEN + 9.5 * MINUTE_MS)}&limit=2`, [8, 9]],
    ['the oldest from start, which it includes', `start=${minute(9)}&limit=3`, [9, 10, 11]],
    ['the oldest from start of what lies before end', `start=${minute(147)}&end=${minute(148)}&limit=3`, [147, 148]],
    ['one minute where start is end', `start=${minute(3)}&end=${minute(3)}`, [3]],
    ['nothing after the newest', `start=${minute(150)}`, []],
    ['nothing before the oldest', `end=${minute(-1)}`, []],
    ['nothing of a day without candles', 'start=2025-11-04&end=2025-11-05', []],
    ['all of a New York day', 'start=2025-11-03&end=2025-11-03&limit=1000', minutes(0, 150).map(([at]) => at)],
    ['all there is in all years', 'start=1000-01-01&end=9999-12-31&limit=1000', minutes(0, 150).map(([at]) => at)],
    ['empty start, end and cursor as absent ones', 'start=&end=&cursor=&limit=1', [149]],
  ])('holds %s', async (_what, query, expected) => {
    expect(times(await get(`/api/candles/AAPL?${query}`))).toEqual(expected.map(minute));
  });

  test('of a symbol with candles in another interval only is empty', async () => {
    expect(await get('/api/candles/AAPL?interval=1h')).toMatchObject({ seq: 0, candles: [], next_cursor: null });
  });

  test('of an unknown symbol is an error', async () => {
    const { body } = await request(app).get('/api/candles/zzz?interval=1d').expect(404);
    expect(body).toEqual({ error: { code: 'unknown_symbol', message: 'ZZZ was never seen and is not registered' } });
  });

  test('is not sent to HEAD, its length is', async () => {
    const { text } = await request(app).get('/api/candles/AAPL?limit=2').expect(200);
    const response = await request(app).head('/api/candles/AAPL?limit=2').expect(200);
    expect(response.headers['content-length']).toBe(`${Buffer.byteLength(text)}`);
    expect(response.text).toBeUndefined();
  });
});

test.each([
  ['symbol', '/api/candles/1AAPL'],
  ['symbol', '/api/candles/AAPL%2FX'],
  ['symbol', '/api/candles/%E0%A4%A'],
  ['interval', '/api/candles/AAPL?interval=2m'],
  ['interval', '/api/candles/AAPL?interval=1m&interval=1m'],
  ['limit', '/api/candles/AAPL?limit=1001'],
  ['limit', '/api/candles/AAPL?limit=5&limit=6'],
  ['start', '/api/candles/AAPL?start=yesterday'],
  ['start', '/api/candles/AAPL?start=2025-11-04&end=2025-11-03'],
  ['end', '/api/candles/AAPL?end=2025-11-31'],
  ['end', '/api/candles/AAPL?end=2025-11-03&end=2025-11-04'],
  ['cursor', '/api/candles/AAPL?cursor=abc'],
  ['cursor', '/api/candles/AAPL?cursor=YmFjaywsMCxh'],
  ['page', '/api/candles/AAPL?page=1&page=2'],
  // An unknown symbol is not looked up for a query that is wrong.
  ['limit', '/api/candles/ZZZ?limit=0'],
])('a wrong %s is refused by name: %s', async (name, path) => {
  const { body } = await request(app).get(path).expect(400).expect('content-type', 'application/json; charset=utf-8');
  expect(body).toEqual({ error: { code: 'invalid_parameter', message: expect.stringMatching(`^${name}: must`) } });
});

test('parameters that nobody knows are left alone', async () => {
  await get('/api/candles/AAPL?limit=1&colour=blue');
});

describe('pages', () => {
  /** Follows the cursors; `between` runs before each page but the first. */
  async function walk(
    path: string,
    limitOf: (page: number) => number,
    between: (page: number) => Promise<unknown>,
  ): Promise<CandlesResponse[]> {
    const pages: CandlesResponse[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      if (pages.length > 0) await between(pages.length);
      // Each page is asked of another replica.
      const page = await get(`${path}&limit=${limitOf(pages.length)}&cursor=${cursor}`, gatewayApp());
      pages.push(page);
      cursor = page.next_cursor;
    }
    return pages;
  }

  test('lead back over everything exactly once while newer candles are committed', async () => {
    await writer.commit('BACK', '1m', minutes(0, 100));
    const pages = await walk(
      '/api/candles/BACK?interval=1m',
      (page) => 7 + page,
      (page) => writer.commit('BACK', '1m', minutes(99 + page, 101 + page)),
    );
    expect(pages.length).toBeGreaterThan(5);
    expect(pages.map(times).reverse().flat()).toEqual(minutes(0, 100).map(([at]) => minute(at)));
    expect(pages.at(-1)!.seq).toBeGreaterThan(pages[0]!.seq);
  });

  test('lead forward over everything exactly once, the newer candles included', async () => {
    await writer.commit('FORE', '1m', minutes(0, 50));
    const pages = await walk(
      `/api/candles/FORE?start=${minute(10)}`,
      () => 9,
      (page) => writer.commit('FORE', '1m', minutes(49 + page, 51 + page)),
    );
    const last = 50 + pages.length;
    expect(pages.length).toBeGreaterThan(4);
    expect(pages.flatMap(times)).toEqual(minutes(10, last).map(([at]) => minute(at)));
  });

  test('lead forward as far as end', async () => {
    const pages = await walk(
      `/api/candles/AAPL?start=${minute(5)}&end=${minute(25)}`,
      () => 10,
      async () => {},
    );
    expect(pages.map(({ candles }) => candles.length)).toEqual([10, 10, 1]);
    expect(pages.flatMap(times)).toEqual(minutes(5, 26).map(([at]) => minute(at)));
  });

  test('do not pass over a candle that appears between two of them', async () => {
    await writer.commit('LATE', '1m', [
      [0, 1],
      [1, 2],
      [8, 3],
      [9, 4],
    ]);
    const pages = await walk(
      '/api/candles/LATE?interval=1m',
      () => 2,
      () => writer.commit('LATE', '1m', [[5, 9]]),
    );
    expect(pages.map(times)).toEqual([[minute(8), minute(9)], [minute(1), minute(5)], [minute(0)]]);
  });

  test('go by their cursor where start and end are given beside it', async () => {
    const first = await get(`/api/candles/AAPL?start=${minute(20)}&end=${minute(40)}&limit=2`);
    const next = await get(`/api/candles/AAPL?start=${minute(70)}&limit=2&cursor=${first.next_cursor}`);
    expect(times(next)).toEqual([minute(22), minute(23)]);
  });

  test('are refused with the cursor of another series', async () => {
    const { next_cursor } = await get('/api/candles/AAPL?limit=1');
    await request(app).get(`/api/candles/AAPL?interval=5m&cursor=${next_cursor}`).expect(400);
    await request(app).get(`/api/candles/BACK?cursor=${next_cursor}`).expect(400);
  });
});

describe('a page that somebody holds', () => {
  test('still stands until its series changes', async () => {
    const path = '/api/candles/TAGS?limit=5';
    await writer.commit('TAGS', '1m', minutes(0, 3));
    const { headers } = await request(app).get(path).expect(200);
    const held = (of: Express) => request(of).get(path).set('If-None-Match', headers.etag!);

    const unchanged = await held(gatewayApp()).expect(304);
    expect(unchanged.text).toBe('');
    await writer.commit('MSFT', '1m', minutes(0, 1));
    await held(app).expect(304);
    await writer.commit('TAGS', '1m', [[1, 55]]);
    const changed = await held(app).expect(200);
    expect(changed.headers.etag).not.toBe(headers.etag);
    expect(changed.body.candles[1]).toMatchObject({ close: 55, seq: 4 });
  });

  test('of an unknown symbol does not exist', async () => {
    await request(app).get('/api/candles/NOBODY').set('If-None-Match', 'W/"x.0"').expect(404);
  });
});

test('two replicas give the same answer at any moment, whatever they have kept', async () => {
  const replicas = [gatewayApp(), gatewayApp()];
  for (let at = 0; at < 20; at++) {
    await writer.commit('TWIN', '1m', [[Math.floor(at / 2), at]]);
    // The first is asked each time, the second every third time only.
    for (const replica of at % 3 === 0 ? replicas : replicas.slice(0, 1)) {
      const { body } = await request(replica).get('/api/candles/TWIN?limit=1').expect(200);
      expect(body.candles[0]).toMatchObject({ close: at, seq: at + 1 });
      expect(body.seq).toBe(at + 1);
    }
  }
});
