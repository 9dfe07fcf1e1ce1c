import { Agent, request } from 'node:http';
import { type Bus, connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { CandlesResponse, channelsOf, ErrorResponse } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { testRedis } from '@candlewire/testkit';
import fc from 'fast-check';
import { createGateway, type Gateway } from '../gateway';
import { NO_REDIS, type TestStore, testStore, testWriter } from '../rig.suite';
import { formatCursor } from './cursor';

const RUNS = 1_500;
const calendar = createCalendar('24x7', '');
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let db: TestStore;
let bus: Bus;
let gateway: Gateway;
let port: number;

beforeAll(async () => {
  db = await testStore();
  // Without Redis the health routes wait for it, a second each: correct, and slow.
  bus = connectBus({ url: (await testRedis())?.url ?? NO_REDIS, prefix: 'test', logger: silentLogger });
  const writer = await testWriter(db.store);
  await writer.commit(
    'AAPL',
    '1m',
    Array.from({ length: 30 }, (_, minute) => [minute, 100 + minute] as const),
  );
  const calendars = { nyse: calendar, '24x7': calendar };
  gateway = createGateway({
    store: db.store,
    bus,
    channels: channelsOf('test'),
    calendars,
    corsOrigins: '*',
    logger: silentLogger,
  });
  port = await gateway.start(0, '127.0.0.1');
});

afterAll(async () => {
  agent.destroy();
  for (const { run } of gateway.shutdown) await run();
  await bus.close();
  await db.drop();
});

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

function send(method: string, path: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method, path, headers, agent }, (res) => {
      let body = '';
      res.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      res.on('end', () => resolve({ status: res.statusCode!, type: res.headers['content-type'], body }));
    });
    sent.on('error', reject).end();
  });
}

/** Any text, in a form that may stand in a request line. */
const anyText = fc.string({ unit: 'binary', maxLength: 30 }).map(encodeURIComponent);
/** Percent signs and bytes that need not be UTF-8. */
const rawBytes = fc
  .array(fc.integer({ min: 0, max: 255 }), { maxLength: 8 })
  .map((bytes) => bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
const rawText = fc.stringMatching(/^[!-~]{0,20}$/).map((text) => text.replace(/[#\\]/g, ''));
const bound = fc.option(fc.integer({ min: -999_999_999_999_999, max: 999_999_999_999_999 }));
const goodCursor = fc
  .record({ direction: fc.constantFrom('back' as const, 'forward' as const), from: bound, to: bound })
  .map((rest) => formatCursor({ symbol: 'AAPL', interval: '1m' }, rest));
const instant = fc.oneof(
  fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((date) => date.toISOString().slice(0, 10)),
  fc.constantFrom(
    '9999-12-31',
    '1000-01-01',
    '9999-12-31T23:59:59-23:59',
    '1000-01-01T00:00:00+23:59',
    '2025-11-03',
    '2025-11-03T14:30:00Z',
  ),
);
const value = fc.oneof(
  anyText,
  rawBytes,
  rawText,
  instant,
  goodCursor,
  fc.constantFrom(
    '',
    '1m',
    '5m',
    '1d',
    '1Min',
    '1Day',
    '0',
    '1',
    '1000',
    '1001',
    '-1',
    'NaN',
    '1e3',
    '[]',
    '__proto__',
    "'or'1'='1",
    '%00',
    '%',
  ),
);
const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('interval', 'timeframe', 'limit', 'start', 'end', 'cursor') },
  {
    weight: 1,
    arbitrary: fc.oneof(
      anyText,
      rawBytes,
      fc.constantFrom('limit[]', 'limit[a]', '__proto__', 'constructor', 'toString', ''),
    ),
  },
);
const symbol = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('AAPL', 'aapl', 'ZZZ') },
  { weight: 2, arbitrary: value },
);
const path = fc.oneof(
  { weight: 6, arbitrary: symbol.map((text) => `/api/candles/${text}`) },
  { weight: 2, arbitrary: symbol.map((text) => `/api/symbols/${text}/historical`) },
  { weight: 1, arbitrary: symbol.map((text) => `/api/symbols/${text}/latest`) },
  { weight: 1, arbitrary: symbol.map((text) => `/api/symbols/${text}`) },
  { weight: 1, arbitrary: fc.constantFrom('/health', '/ready', '/api/health', '/api/symbols', '*') },
  { weight: 1, arbitrary: fc.array(value, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`) },
);
const query = fc
  .array(fc.tuple(name, value), { maxLength: 5 })
  .map((pairs) => pairs.map(([key, text]) => `${key}=${text}`).join('&'));
const method = fc.oneof(
  { weight: 6, arbitrary: fc.constant('GET') },
  { weight: 1, arbitrary: fc.constantFrom('HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY') },
);
const header = fc.record(
  {
    'If-None-Match': fc.constantFrom('*', 'W/"x.1"', ',,,', '"'),
    Origin: rawText,
    Range: fc.constant('bytes=0-1'),
    'X-Forwarded-For': rawText,
  },
  { requiredKeys: [] },
);

/** Fixed, so that a run that fails fails again; another seed is another walk through the same surface. */
const SEED = Number(process.env.CANDLEWIRE_FUZZ_SEED ?? 20_251_103);

test('whatever is asked, the answer is one of those in the contract', async () => {
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(method, path, query, header, async (verb, where, asked, headers) => {
      const answer = await send(verb, asked === '' ? where : `${where}?${asked}`, headers);
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      // The page is for people.
      if (where === '/') return;
      // Not ready is how it is: there is no feed here.
      const expected = where === '/ready' ? [204, 503] : [200, 204, 304, 400, 404, 405];
      expect([400, 404, 405, ...expected]).toContain(answer.status);
      expect(answer.body).not.toMatch(/node_modules|\bat [\w.<>]+ \(|<html|<!doctype/i);
      if (answer.status === 204 || answer.status === 304) expect(answer.body).toBe('');
      else expect(answer.type).toBe('application/json; charset=utf-8');
      if (verb !== 'GET' || answer.body === '' || where === '/ready') return;
      const body: unknown = JSON.parse(answer.body);
      if (answer.status >= 400) ErrorResponse.strict().parse(body);
      else if (where.startsWith('/api/candles/')) CandlesResponse.strict().parse(body);
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: false },
  );
  // A walk that never got past the parameters would prove little.
  expect(seen.get(200)).toBeGreaterThan(RUNS / 20);
  expect(seen.get(400)).toBeGreaterThan(RUNS / 20);
  expect(seen.get(404)).toBeGreaterThan(RUNS / 20);
});
