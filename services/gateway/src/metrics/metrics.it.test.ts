import { type Bus, createInProcessBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import { channelsOf, type FeedStatus } from '@candlewire/contracts';
import { createMetrics, runPhases, silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import request from 'supertest';
import { createGateway, type Gateway, type GatewayDeps } from '../gateway';
import { type TestStore, testStore, testWriter } from '../rig.suite';
import { openClient } from '../ws/test-client.suite';

const calendar = createCalendar('24x7', '');
const channels = channelsOf('test');
const KEY = 'a-key-of-ours';
const PRICE = JSON.stringify({
  type: 'price_update',
  symbol: 'AAPL',
  price: 10,
  change: null,
  change_percent: null,
  timestamp: '2025-11-03T14:30:00Z',
  volume: 100,
});
let db: TestStore;
let bus: Bus;
let gateway: Gateway;
let port: number;

beforeAll(async () => {
  db = await testStore();
  const writer = await testWriter(db.store);
  await writer.commit('AAPL', '1m', [[0, 10]]);
});
afterAll(() => db.drop());

beforeEach(() => {
  bus = createInProcessBus({ logger: silentLogger }).connect();
});
afterEach(async () => {
  await runPhases(gateway.shutdown, silentLogger);
  await bus.close();
});

/** Samples of the gateway, by name without its beginning. */
async function samples(): Promise<Readonly<Record<string, number>>> {
  const lines = (await scrape(KEY)).match(/^candlewire_gateway_.*$/gm) ?? [];
  return Object.fromEntries(
    lines
      .map((line) => line.replace('candlewire_gateway_', '').split(' '))
      .map(([name, value]) => [name, Number(value)]),
  );
}

async function start(over: Partial<GatewayDeps> = {}): Promise<Gateway> {
  gateway = createGateway({
    store: db.store,
    bus,
    channels,
    calendars: { nyse: calendar, '24x7': calendar },
    corsOrigins: '*',
    logger: silentLogger,
    metrics: createMetrics({ ofProcess: false }),
    ...over,
  });
  port = await gateway.start(0, '127.0.0.1');
  return gateway;
}

const scrape = async (key = '') => (await request(gateway.app).get('/metrics').set('X-API-Key', key).expect(200)).text;
/** Of all requests but the scrapes. */
const requestsOf = (text: string) =>
  [...text.matchAll(/^candlewire_gateway_http_request_seconds_count(\{.*)$/gm)]
    .map((match) => match[1]!)
    .filter((sample) => !sample.includes('/metrics'))
    .sort();

test('/metrics is told as Prometheus reads it, and takes no other method', async () => {
  const { app } = await start();
  const response = await request(app).get('/metrics').expect(200);
  expect(response.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(response.headers['cache-control']).toBe('no-store');
  expect(response.text).toContain('# TYPE candlewire_gateway_connections gauge\ncandlewire_gateway_connections 0\n');
  await request(app).head('/metrics').expect(200);
  const refused = await request(app).post('/metrics').expect(405);
  expect(refused.body.error.code).toBe('method_not_allowed');
});

test('requests are counted by route and class, however many paths callers make up', async () => {
  const { app } = await start();
  await request(app).get('/api/candles/AAPL?limit=1').expect(200);
  await request(app).get('/api/candles/AAPL').expect(200);
  await request(app).get('/api/candles/NOPE').expect(404);
  await request(app).delete('/api/candles/AAPL').expect(405);
  await request(app).get('/api/symbols/AAPL/latest').expect(200);
  for (const path of ['/a', '/b', '/api/c', '/%ff']) await request(app).get(path).expect(404);
  await request(app).options('/api/symbols').expect(204);
  const counted = await waitFor(
    async () => {
      const samples = requestsOf(await scrape());
      return samples.reduce((sum, sample) => sum + Number(sample.split(' ').at(-1)), 0) === 10 && samples;
    },
    { what: 'all answers are counted' },
  );
  expect(counted).toEqual([
    '{route="/api/candles/:symbol",status="2xx"} 2',
    '{route="/api/candles/:symbol",status="4xx"} 2',
    '{route="/api/symbols/:symbol/latest",status="2xx"} 1',
    '{route="none",status="2xx"} 1',
    '{route="none",status="4xx"} 4',
  ]);
});

test('where keys are asked for they are for whoever shows one, and who does not is counted', async () => {
  const { app } = await start({ apiKeys: [KEY] });
  await request(app).get('/metrics').expect(401);
  await request(app).get('/api/symbols').set('X-API-Key', 'not-a-key-of-ours').expect(401);
  const text = await scrape(KEY);
  expect(text).toContain('\ncandlewire_gateway_http_refused_total{reason="unauthorized"} 2\n');
  expect(text).toContain('\ncandlewire_gateway_http_refused_total{reason="rate_limited"} 0\n');
});

test('callers over their rate are counted', async () => {
  // However long the calls take, they fall into one window.
  const time = jest.spyOn(Date, 'now').mockReturnValue(Date.now());
  const { app } = await start({ httpMaxPerS: 1, apiKeys: [KEY] });
  for (let i = 0; i < 12; i++) await request(app).get('/');
  expect(await scrape(KEY)).toContain('\ncandlewire_gateway_http_refused_total{reason="rate_limited"} 2\n');
  time.mockRestore();
});

test('what the ingestor says of its source is told on, refused bars too', async () => {
  await start();
  const before = await scrape();
  expect(before).toContain('# TYPE candlewire_gateway_feed_bars gauge');
  expect(before).not.toMatch(/^candlewire_gateway_feed_/m);
  const status: FeedStatus = {
    kind: 'replay',
    state: 'live',
    last_bar_at: null,
    clock: null,
    updated_at: new Date(Date.now() - 3_000).toISOString(),
    bars: 17,
    refused: { bad_timestamp: 2 },
    left_out: ['AAPL', 'MSFT'],
  };
  await bus.keep({ channel: channels.feedStatus, text: JSON.stringify(status) });
  const text = await waitFor(
    async () => {
      const found = await scrape();
      return found.includes('candlewire_gateway_feed_bars 17') && found;
    },
    { what: 'the status is heard' },
  );
  expect(text).toContain('\ncandlewire_gateway_feed_refused{reason="bad_timestamp"} 2\n');
  expect(text).toContain('\ncandlewire_gateway_feed_left_out 2\n');
  expect(text).toContain('\ncandlewire_gateway_feed_state{state="live"} 1\n');
  expect(text).toContain('\ncandlewire_gateway_feed_state{state="failed"} 0\n');
  expect(Number(/^candlewire_gateway_feed_age_seconds (.*)$/m.exec(text)![1])).toBeGreaterThanOrEqual(3);
});

test('clients of WebSockets, what they follow, and what they are told and refused', async () => {
  await start({ apiKeys: [KEY] });
  const origin = `http://127.0.0.1:${port}`;
  const stranger = openClient(origin, '/ws', { headers: { 'X-API-Key': 'not-a-key-of-ours' } });
  await stranger.closed();
  const client = openClient(origin, '/ws', { headers: { 'X-API-Key': KEY } });
  await waitFor(() => client.ws.readyState === client.ws.OPEN, { what: 'the WebSocket is open' });
  client.say({ type: 'subscribe', symbols: ['AAPL', 'MSFT'] });
  await client.heard('subscribed');
  const during = await samples();
  expect(during).toMatchObject({
    connections: 1,
    'subscriptions{channel="prices"}': 2,
    'subscriptions{channel="candles"}': 0,
    'ws_refused_total{reason="unauthorized"}': 1,
    slow_closes_total: 0,
  });
  expect(during.messages_out_total).toBeGreaterThan(0);
  expect(during.writes_total).toBeGreaterThan(0);
  expect(during.bytes_out_total).toBeGreaterThan(during.messages_out_total!);
  await bus.publish([{ channel: channels.prices('AAPL'), text: PRICE }]);
  await waitFor(async () => (await samples()).messages_in_total === 1, { what: 'a message came from the bus' });
  await client.close();
  await waitFor(async () => (await samples()).connections === 0, { what: 'nobody is connected' });
  expect(await samples()).toMatchObject({ 'subscriptions{channel="prices"}': 0 });
});
