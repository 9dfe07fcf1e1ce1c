import { connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { channelsOf, ErrorResponse } from '@candlewire/contracts';
import { type Logger, runPhases, silentLogger } from '@candlewire/runtime';
import type { Express } from 'express';
import request from 'supertest';
import { createGateway, type Gateway, type GatewayDeps } from '../gateway';
import { NO_REDIS, type TestStore, testStore } from '../rig.suite';
import { startGateway } from '../start';

const KEY = 'a-key-of-the-first-client';
const OTHER_KEY = 'a-key-of-another-client';
/** What a gateway can be asked over HTTP, besides what needs no key. */
const CALLS = ['/api/health', '/api/symbols', '/api/candles/AAPL', '/metrics', '/docs', '/nothing', '/api'];

const bus = connectBus({ url: NO_REDIS, prefix: 'test', logger: silentLogger });
const calendar = createCalendar('24x7', '');
const gateways: Gateway[] = [];
/** Calls are counted over some seconds: however long they take, none of these pass. */
const stopTime = () => jest.spyOn(Date, 'now').mockReturnValue(Date.now());
let db: TestStore;

function appWith(options: Partial<GatewayDeps>): Express {
  const calendars = { nyse: calendar, '24x7': calendar };
  const channels = channelsOf('test');
  const deps = { store: db.store, bus, channels, calendars, corsOrigins: '*', logger: silentLogger } as const;
  const gateway = createGateway({ ...deps, ...options });
  gateways.push(gateway);
  return gateway.app;
}

beforeAll(async () => {
  db = await testStore();
});
afterAll(async () => {
  for (const { shutdown } of gateways) await runPhases(shutdown, silentLogger);
  await bus.close();
  await db.drop();
});
afterEach(() => jest.restoreAllMocks());

describe('with keys', () => {
  let app: Express;
  beforeAll(() => {
    app = appWith({ apiKeys: [KEY, OTHER_KEY], corsOrigins: [] });
  });

  test.each(CALLS)('%s is for those who show one', async (path) => {
    const { body, headers } = await request(app).get(path).expect(401);
    expect(ErrorResponse.strict().parse(body).error.code).toBe('unauthorized');
    expect(headers).toMatchObject({ 'www-authenticate': 'Bearer realm="candlewire"', 'cache-control': 'no-store' });
    const wrong = await request(app).get(path).set('X-API-Key', `${KEY}x`).expect(401);
    expect(wrong.headers['www-authenticate']).toBe('Bearer realm="candlewire", error="invalid_token"');
    const shown = await request(app).get(path).set('X-API-Key', OTHER_KEY);
    expect([401, 403]).not.toContain(shown.status);
  });

  test('either header does', async () => {
    await request(app).get('/api/symbols').set('Authorization', `Bearer ${KEY}`).expect(200);
    await request(app).get('/api/symbols').set('X-API-Key', KEY).expect(200);
    await request(app).get('/api/symbols').set('Authorization', `Basic ${KEY}`).expect(401);
  });

  test('an address is no place for one', async () => {
    await request(app).get(`/api/symbols?api_key=${KEY}`).expect(401);
  });

  test('writes need one as well, and nothing is written without', async () => {
    await request(app).post('/api/symbols').send({ symbol: 'NEWS' }).expect(401);
    await request(app).delete('/api/symbols/NEWS').expect(401);
    const { body } = await request(app).get('/api/symbols').set('X-API-Key', KEY).expect(200);
    expect(body).toEqual({ symbols: [] });
  });

  test.each(['/health', '/'])('%s is for everybody', async (path) => {
    await request(app).get(path).expect(200);
  });

  test('/ready is for everybody', async () => {
    expect((await request(app).get('/ready').expect(503)).body.status).toBe('not_ready');
  });

  test.each(['/health/', '/HEALTH', '//health', '/health/x', '/%68ealth', '/index.html', '/?/api/symbols'])(
    '%s does not lead past the door',
    async (path) => {
      const { status, text } = await request(app).get(path);
      expect(path.startsWith('/?') ? text.startsWith('<!doctype html>') : status === 401).toBe(true);
    },
  );

  test('preflights need none, and pages of other origins may not read', async () => {
    const { headers } = await request(app).options('/api/symbols').set('Origin', 'https://a.example').expect(204);
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('a page of a listed origin may read that it needs one', async () => {
    const listed = appWith({ apiKeys: [KEY], corsOrigins: ['https://a.example'] });
    const { headers } = await request(listed).get('/api/symbols').set('Origin', 'https://a.example').expect(401);
    expect(headers['access-control-allow-origin']).toBe('https://a.example');
  });
});

test('a gateway that is started asks for the keys of its environment, and counts as it says', async () => {
  stopTime();
  const env = { DATABASE_URL: db.url, REDIS_URL: NO_REDIS, PORT: '0', HOST: '127.0.0.1' };
  let origin = '';
  const info = (event: string, fields: Record<string, unknown> = {}) => {
    if (event === 'listening') origin = `http://127.0.0.1:${fields.port}`;
  };
  const logger = { ...silentLogger, info };
  const started = { ...env, API_KEYS: `${OTHER_KEY}, ${KEY}`, HTTP_MAX_PER_S: '1', TRUST_PROXY: 'loopback' };
  const { shutdown } = await startGateway(started, logger);
  const statusOf = async (headers: Record<string, string>) => (await fetch(`${origin}/api/health`, { headers })).status;
  expect([await statusOf({}), await statusOf({ 'X-API-Key': KEY })]).toEqual([401, 200]);
  const first = { 'X-Forwarded-For': '198.51.100.7' };
  for (let calls = 0; calls < 10; calls++) expect(await statusOf(first)).toBe(401);
  expect([await statusOf(first), await statusOf({ 'X-Forwarded-For': '198.51.100.8' })]).toEqual([429, 401]);
  const { headers } = await fetch(`${origin}/health`, { headers: { Origin: 'https://a.example' } });
  expect(headers.get('access-control-allow-origin')).toBeNull();
  await runPhases(shutdown, silentLogger);
});

test('without keys one that is shown does no harm', async () => {
  const app = appWith({});
  await request(app).get('/api/symbols').set('X-API-Key', KEY).expect(200);
  await request(app).get('/api/symbols').set('Authorization', 'Bearer').expect(200);
});

describe('calls over the limit', () => {
  beforeEach(stopTime);

  /** Calls until one is refused; how many were not. */
  async function callsOf(app: Express, headers: Record<string, string> = {}): Promise<number> {
    for (let calls = 0; calls < 50; calls++) {
      const { status } = await request(app).get('/nothing').set(headers);
      if (status === 429) return calls;
    }
    throw new Error('never refused');
  }

  test('are refused until the window ends, whatever they call; probes are not', async () => {
    const app = appWith({ httpMaxPerS: 1 });
    expect(await callsOf(app)).toBe(10);
    for (const path of ['/api/symbols', '/', '/api/health']) {
      const { body, headers } = await request(app).get(path).set('Origin', 'https://a.example').expect(429);
      expect(ErrorResponse.strict().parse(body).error.code).toBe('rate_limited');
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(10);
      expect(headers['access-control-allow-origin']).toBe('*');
    }
    await request(app).get('/health').expect(200);
    await request(app).get('/ready').expect(503);
  });

  test('are counted by key, and by address where none is shown; a wrong key is none', async () => {
    const app = appWith({ httpMaxPerS: 1, apiKeys: [KEY, OTHER_KEY] });
    expect(await callsOf(app, { 'X-API-Key': KEY })).toBe(10);
    expect(await callsOf(app, { Authorization: `Bearer ${OTHER_KEY}` })).toBe(10);
    expect(await callsOf(app, { 'X-API-Key': 'wrong-key-1' })).toBe(10);
    expect(await callsOf(app, { 'X-API-Key': 'wrong-key-2' })).toBe(0);
    expect(await callsOf(app)).toBe(0);
  });

  test('are counted by the address that a trusted proxy names, and by no other', async () => {
    const behind = appWith({ httpMaxPerS: 1, trustProxy: ['loopback'] });
    for (const address of ['198.51.100.7', '198.51.100.8']) {
      expect(await callsOf(behind, { 'X-Forwarded-For': address })).toBe(10);
    }
    expect(await callsOf(behind, { 'X-Forwarded-For': '1.2.3.4, 198.51.100.8' })).toBe(0);
    const direct = appWith({ httpMaxPerS: 1 });
    expect(await callsOf(direct, { 'X-Forwarded-For': '198.51.100.7' })).toBe(10);
    expect(await callsOf(direct, { 'X-Forwarded-For': '198.51.100.8' })).toBe(0);
  });
});

test('no key gets into the log, whatever is called', async () => {
  const lines: unknown[] = [];
  const log = (event: string, fields?: unknown) => void lines.push([event, fields]);
  const logger: Logger = { error: log, warn: log, info: log, debug: log, child: () => logger };
  const broken = { ...db.store, symbols: () => Promise.reject(new Error('broken')) };
  const app = appWith({ apiKeys: [KEY], logger, store: broken as unknown as GatewayDeps['store'] });
  for (const path of ['/api/symbols', `/api/symbols?api_key=${KEY}`, `/api/candles/%zz?api_key=${KEY}`, '/nothing']) {
    await request(app).get(path).set('X-API-Key', KEY);
    await request(app).get(path).set('Authorization', `Bearer ${KEY}`);
    await request(app).get(path).set('X-API-Key', `wrong-${KEY}`);
  }
  expect(lines.length).toBeGreaterThan(0);
  expect(JSON.stringify(lines)).not.toContain(KEY);
});
