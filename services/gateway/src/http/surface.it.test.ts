import { connect } from 'node:net';
import { connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { channelsOf, ErrorResponse, SymbolsResponse } from '@candlewire/contracts';
import { runPhases, silentLogger } from '@candlewire/runtime';
import type { Express } from 'express';
import request from 'supertest';
import type { CorsOrigins } from '../config';
import { createGateway, type Gateway } from '../gateway';
import { NO_REDIS, type TestStore, testStore, testWriter } from '../rig.suite';

const calendar = createCalendar('24x7', '');
const bus = connectBus({ url: NO_REDIS, prefix: 'test', logger: silentLogger });
let db: TestStore;
let gateway: Gateway;
let app: Express;
let port: number;

function gatewayWith(corsOrigins: CorsOrigins): Gateway {
  const calendars = { nyse: calendar, '24x7': calendar };
  return createGateway({
    store: db.store,
    bus,
    channels: channelsOf('test'),
    calendars,
    corsOrigins,
    logger: silentLogger,
  });
}

/** Sends these bytes and resolves with all that came back when the other end is through. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text;
    });
    socket.on('end', () => {
      socket.end();
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

beforeAll(async () => {
  db = await testStore();
  const writer = await testWriter(db.store);
  await writer.commit('MSFT', '1m', [
    [0, 10],
    [1, 11.5],
  ]);
  await writer.commit('AAPL', '5m', [[0, 20]]);
  gateway = gatewayWith('*');
  app = gateway.app;
  port = await gateway.start(0, '127.0.0.1');
});

afterAll(async () => {
  await runPhases(gateway.shutdown, silentLogger);
  await bus.close();
  await db.drop();
});

test('every symbol is listed with its newest minute', async () => {
  const { body } = await request(app).get('/api/symbols').expect(200);
  expect(SymbolsResponse.strict().parse(body).symbols).toEqual([
    { symbol: 'AAPL', name: null, active: false, last_price: null, last_timestamp: null },
    { symbol: 'MSFT', name: null, active: false, last_price: 11.5, last_timestamp: '2025-11-03T14:31:00Z' },
  ]);
});

describe('errors', () => {
  test.each([
    '/nothing',
    '/ws',
    '/ws/candles/AAPL',
    '/api/symbols/AAPL/nothing',
    '/api',
    '/api/candles',
    '/api/candles/',
    '/api/candles/AAPL/1m',
    '/%2e%2e/etc/passwd',
    '//health',
    '/constructor',
  ])('nothing is at %s', async (path) => {
    const { body } = await request(app)
      .get(path)
      .expect(404)
      .expect('content-type', /^application\/json/);
    expect(body).toEqual({ error: { code: 'not_found', message: 'there is nothing at this path' } });
  });

  test.each([
    '/',
    '/health',
    '/ready',
    '/api/health',
    '/api/candles/AAPL',
    '/api/symbols/AAPL/historical',
    '/api/symbols/AAPL/latest',
  ])('%s can only be read', async (path) => {
    for (const method of ['post', 'put', 'patch', 'delete'] as const) {
      const { body } = await request(app)
        [method](path)
        .send({ symbol: 'AAPL' })
        .expect(405)
        .expect('allow', 'GET, HEAD, OPTIONS');
      expect(body.error.code).toBe('method_not_allowed');
    }
  });

  test.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    ['a method that is none', 'FOO /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a request to no host', 'GET /health HTTP/1.1\r\n\r\n', 400],
    ['a target that is none', 'GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a bad header', 'GET /health HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n', 400],
    ['headers without end', `GET /health HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    ['an address that never ends', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
  ])('%s is answered with JSON as well', async (_what, bytes, status) => {
    const [head, body] = (await exchange(bytes)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} [A-Z][\\s\\S]*\r\nContent-Type: application/json`));
    expect(ErrorResponse.parse(JSON.parse(body!)).error.code).toBe('invalid_parameter');
  });
});

test.each(['/', '/health', '/metrics', '/api/symbols', '/nothing'])(
  'a parameter given twice is refused at %s',
  async (path) => {
    const { body } = await request(app).get(`${path}?a=1&a=2`).expect(400);
    expect(body.error).toEqual({ code: 'invalid_parameter', message: 'a: must be given once' });
  },
);

test('who names no host is told so; HTTP/1.0 names none', async () => {
  const answer = await exchange('GET /health HTTP/1.1\r\n\r\n');
  expect(JSON.parse(answer.split('\r\n\r\n')[1]!).error.message).toBe('Host: must be given');
  expect(await exchange('GET /health HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 /);
});

describe('headers', () => {
  test('give nothing away and switch off what an API does not need', async () => {
    const { headers } = await request(app).get('/api/symbols').expect(200);
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('server');
    expect(headers).not.toHaveProperty('strict-transport-security');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['content-security-policy']).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers['cache-control']).toBe('no-cache');
  });

  test.each(['/health', '/ready', '/api/health', '/nothing', '/api/candles/1'])(
    'let nobody keep what %s says',
    async (path) => {
      expect((await request(app).get(path)).headers['cache-control']).toBe('no-store');
    },
  );

  test('let every page read the answers by default, errors too', async () => {
    for (const path of ['/health', '/api/symbols', '/api/candles/1', '/nothing']) {
      const { headers } = await request(app).get(path).set('Origin', 'https://example.com');
      expect(headers['access-control-allow-origin']).toBe('*');
      expect(headers['access-control-expose-headers']).toBe('ETag, Retry-After');
    }
  });

  test('answer preflights', async () => {
    const { headers } = await request(app)
      .options('/api/candles/AAPL')
      .set({
        Origin: 'https://example.com',
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'X-API-Key',
      })
      .expect(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD, POST, DELETE, OPTIONS',
      'access-control-allow-headers': expect.stringContaining('X-API-Key'),
    });
  });

  test('let only pages from listed origins read where there is a list', async () => {
    const picky = gatewayWith(['https://a.example', 'http://localhost:3000']);
    const listed = picky.app;
    const originOf = async (origin: string | null) => {
      const asked = request(listed).get('/api/candles/1');
      const { headers } = await (origin === null ? asked : asked.set('Origin', origin));
      expect(headers.vary).toBe('Origin');
      return headers['access-control-allow-origin'];
    };
    expect(await originOf('https://a.example')).toBe('https://a.example');
    expect(await originOf('http://localhost:3000')).toBe('http://localhost:3000');
    for (const other of [
      'https://b.example',
      'https://a.example.b.example',
      'http://a.example',
      'https://A.example',
      'null',
      null,
    ]) {
      expect(await originOf(other)).toBeUndefined();
    }
    const { headers } = await request(listed).options('/api/symbols').set('Origin', 'https://b.example').expect(204);
    expect(headers).not.toHaveProperty('access-control-allow-methods');
    await runPhases(picky.shutdown, silentLogger);
  });
});
