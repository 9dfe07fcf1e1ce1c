import { type BarMessage, type TradeMessage, toBar } from '@candlewire/alpaca';
import { type Bar, MINUTE_MS } from '@candlewire/contracts';
import { loadCalendar } from '@candlewire/runtime';
import { WebSocket } from 'ws';
import { MONDAY_OPEN } from '../bars';
import { waitFor } from '../wait-for';
import { scaledClock } from './clock';
import { FAKE_KEY, FAKE_SECRET } from './fake-alpaca';
import { BAR_DELAY_MS, createAlpacaMarket, UPDATE_DELAY_MS } from './market';
import { alpacaRig, type RawClient, START } from './rig.suite';

const HEADERS = { 'APCA-API-KEY-ID': FAKE_KEY, 'APCA-API-SECRET-KEY': FAKE_SECRET };
const AUTH = { action: 'auth', key: FAKE_KEY, secret: FAKE_SECRET };
const ALL = { bars: ['*'], updatedBars: ['*'] };
const UNLIMITED = { plan: { symbolsMax: Number.POSITIVE_INFINITY } };
const busy = createAlpacaMarket({ symbols: ['AAPL'], chances: { quiet: 0, thin: 0, late: 0 } });

const rig = alpacaRig();
afterEach(rig.end);

const barsOf = ({ messages }: RawClient): Bar[] =>
  messages
    .filter((message): message is BarMessage => ['b', 'u'].includes(message.T))
    .map(({ T, S, ...wire }) => toBar(S, wire, T === 'b' ? 0 : 1, Date.now()) as Bar);
const minutesOf = (client: RawClient) => barsOf(client).map(({ openTime }) => (openTime - MONDAY_OPEN) / MINUTE_MS);
const afterMinutes = (count: number) => MONDAY_OPEN + count * MINUTE_MS + BAR_DELAY_MS;
const codesOf = ({ messages }: RawClient) =>
  messages.flatMap((message) => (message.T === 'error' ? [message.code] : []));

describe.each(['json', 'msgpack'] as const)('in %s', (encoding) => {
  test('bars and updated bars come at their times', async () => {
    const fake = await rig.start(UNLIMITED);
    const { market } = fake;
    const client = await rig.subscriber(fake, ALL, encoding);
    const first = market.symbols.map((symbol) => market.first(symbol, MONDAY_OPEN)).filter((bar) => bar !== null);
    const updated = market.symbols.map((symbol) => market.updated(symbol, MONDAY_OPEN)).filter((bar) => bar !== null);
    fake.advanceTo(afterMinutes(1) - 1);
    fake.advanceTo(afterMinutes(1));
    await client.received(3 + first.length);
    expect(barsOf(client)).toEqual(first);
    fake.advanceTo(MONDAY_OPEN + MINUTE_MS + UPDATE_DELAY_MS);
    await client.received(3 + first.length + updated.length);
    expect(barsOf(client)).toEqual([...first, ...updated]);
    expect(client.frames.slice(0, 3)).toEqual([1, 1, 1]);
  });

  test('trades come as they happen, with nanoseconds', async () => {
    const fake = await rig.start();
    const client = await rig.subscriber(fake, { trades: ['AAPL'] }, encoding);
    fake.advanceTo(MONDAY_OPEN + 3 * MINUTE_MS);
    const told = [0, 1, 2]
      .flatMap((minute) => fake.market.trades('AAPL', MONDAY_OPEN + minute * MINUTE_MS))
      .filter(({ reportedAt }) => reportedAt > START && reportedAt <= fake.now())
      .sort((a, b) => a.reportedAt - b.reportedAt);
    const messages = (await client.received(3 + told.length)).slice(3) as TradeMessage[];
    expect(messages.map(({ i, p, s }) => ({ id: i, price: p, size: s }))).toEqual(
      told.map(({ id, price, size }) => ({ id, price, size })),
    );
    expect(messages[0]!.t).toMatch(/\.\d{9}Z$/);
  });
});

test('the day so far comes after each minute', async () => {
  const fake = await rig.start({ market: busy });
  const client = await rig.subscriber(fake, { dailyBars: ['AAPL'] });
  fake.advanceTo(MONDAY_OPEN + 3 * MINUTE_MS);
  fake.advanceTo(MONDAY_OPEN + 3 * MINUTE_MS + 100);
  const days = (await client.received(6)).slice(3) as BarMessage[];
  expect(days.map(({ T, t }) => `${T} ${t}`)).toEqual(new Array(3).fill('d 2025-11-03T05:00:00Z'));
  expect(days[0]!.v).toBeLessThan(days[2]!.v);
});

test('the test feed never sleeps', async () => {
  const sunday = MONDAY_OPEN - 24 * 60 * MINUTE_MS;
  const fake = await rig.start({ clock: scaledClock(sunday, 1_200), market: busy });
  const client = rig.connect(fake.streamUrl('test'));
  await client.received(1);
  client.send(AUTH);
  client.send({ action: 'subscribe', bars: ['FAKEPACA', 'AAPL'] });
  await client.received(6);
  expect(new Set(barsOf(client).map(({ symbol }) => symbol))).toEqual(new Set(['FAKEPACA']));
});

test('unsubscribed symbols fall silent', async () => {
  const fake = await rig.start({ market: busy });
  const client = await rig.subscriber(fake, { bars: ['AAPL'], updatedBars: ['AAPL'] });
  fake.advanceTo(afterMinutes(1));
  await client.received(4);
  client.send({ action: 'unsubscribe', bars: ['AAPL'] });
  await client.received(5);
  fake.advanceTo(afterMinutes(9));
  client.send({ action: 'subscribe', bars: ['AAPL'] });
  await client.received(6);
  fake.advanceTo(afterMinutes(10));
  await client.received(7);
  expect(minutesOf(client)).toEqual([0, 9]);
  expect(fake.connections[0]).toMatchObject({ subscribed: { bars: ['AAPL'], updatedBars: ['AAPL'] }, sent: { b: 2 } });
});

test('records what a client did, without its secret', async () => {
  const fake = await rig.start();
  await rig.subscriber(fake, { bars: ['AAPL'] });
  expect(fake.live).toMatchObject([{ number: 1, path: '/v2/iex', encoding: 'json', authenticated: true }]);
  expect(fake.connections[0]!.auths).toMatchObject([{ key: FAKE_KEY, refused: null }]);
  expect(fake.connections[0]!.received).toEqual([
    { ...AUTH, secret: '***' },
    { action: 'subscribe', bars: ['AAPL'] },
  ]);
});

describe('the door', () => {
  test('takes credentials from the headers', async () => {
    const fake = await rig.start();
    const client = rig.connect(fake.streamUrl(), 'json', HEADERS);
    expect(await client.received(2)).toEqual([
      { T: 'success', msg: 'connected' },
      { T: 'success', msg: 'authenticated' },
    ]);
  });

  test('sends wrong keys away', async () => {
    const fake = await rig.start();
    const client = rig.connect(fake.streamUrl(), 'json', { ...HEADERS, 'APCA-API-SECRET-KEY': 'no' });
    expect(await client.closed()).toBe(1000);
    expect(codesOf(client)).toEqual([402]);
  });

  test('keeps the free plan out of sip', async () => {
    const fake = await rig.start();
    const client = rig.connect(fake.streamUrl('sip'), 'json', HEADERS);
    await client.received(2);
    expect(codesOf(client)).toEqual([409]);
    const other = rig.connect((await rig.start({ plan: { sip: true } })).streamUrl('sip'), 'json', HEADERS);
    expect((await other.received(2))[1]).toMatchObject({ msg: 'authenticated' });
  });

  test('sends the silent away', async () => {
    const fake = await rig.start({ authTimeoutMs: 30 });
    const client = rig.connect(fake.streamUrl());
    await client.closed();
    expect(codesOf(client)).toEqual([404]);
  });

  test('knows its paths', async () => {
    const fake = await rig.start();
    const socket = new WebSocket(`${fake.streamUrl()}x`);
    const error = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(error.message).toContain('404');
    expect(fake.connections).toEqual([]);
  });

  test('has one place for each account; who is over it may wait on the socket', async () => {
    const fake = await rig.start();
    const first = rig.connect(fake.streamUrl(), 'json', HEADERS);
    await first.received(2);
    const second = rig.connect(fake.streamUrl(), 'json', HEADERS);
    await second.received(2);
    expect(codesOf(second)).toEqual([406]);
    first.socket.close();
    await waitFor(() => fake.connections[0]!.closedAt);
    second.send(AUTH);
    expect((await second.received(3))[2]).toEqual({ T: 'success', msg: 'authenticated' });
  });

  test('closes who is over the limit, where that is asked for', async () => {
    const fake = await rig.start({ overLimit: 'close' });
    await rig.connect(fake.streamUrl(), 'json', HEADERS).received(2);
    const second = rig.connect(fake.streamUrl(), 'json', HEADERS);
    expect(await second.closed()).toBe(1000);
    expect(codesOf(second)).toEqual([406]);
  });

  test('a lost connection occupies its place for a while, a closed one does not', async () => {
    const fake = await rig.start({ ghostMs: 60_000 });
    const lost = rig.connect(fake.streamUrl(), 'json', HEADERS);
    await lost.received(2);
    lost.socket.terminate();
    await waitFor(() => fake.connections[0]!.closedAt);
    expect(fake.connections[0]!.closeCode).toBe(1006);
    const second = rig.connect(fake.streamUrl(), 'json', HEADERS);
    await second.received(2);
    expect(codesOf(second)).toEqual([406]);
    fake.releaseGhosts();
    second.send(AUTH);
    await second.received(3);
    second.socket.close();
    await waitFor(() => fake.connections[1]!.closedAt);
    expect((await rig.connect(fake.streamUrl(), 'json', HEADERS).received(2))[1]).toMatchObject({
      msg: 'authenticated',
    });
  });

  test('a ghost goes by itself', async () => {
    const fake = await rig.start({ ghostMs: 20 });
    await rig.connect(fake.streamUrl(), 'json', HEADERS).received(2);
    fake.drop('terminate');
    const client = rig.connect(fake.streamUrl());
    await client.received(1);
    await waitFor(() => {
      client.send(AUTH);
      return client.messages.some((message) => message.T === 'success' && message.msg === 'authenticated');
    });
  });
});

describe('by the script', () => {
  const started = (fault: object, options = {}) =>
    rig.start({ market: busy, faults: { connections: { 1: fault } }, ...options });

  test('an upgrade is refused, the next is not', async () => {
    const fake = await started({ upgrade: 429 });
    const refused = rig.connect(fake.streamUrl());
    const error = await new Promise<Error>((resolve) => refused.socket.on('error', resolve));
    expect(error.message).toContain('429');
    await rig.connect(fake.streamUrl()).received(1);
    expect(fake.connections.map(({ upgraded }) => upgraded)).toEqual([false, true]);
  });

  test('an upgrade hangs', async () => {
    const fake = await started({ upgrade: 'hang' });
    const client = rig.connect(fake.streamUrl());
    await waitFor(() => fake.connections[0]);
    await rig.connect(fake.streamUrl()).received(1);
    expect(client.socket.readyState).toBe(WebSocket.CONNECTING);
  });

  test('nothing answers the authentication', async () => {
    const fake = await started({ auth: 'silent' }, { authTimeoutMs: 20 });
    const client = rig.connect(fake.streamUrl());
    await client.received(1);
    client.send(AUTH);
    await waitFor(() => fake.connections[0]!.auths.length);
    client.send({ action: 'subscribe', bars: ['AAPL'] });
    await client.received(2);
    expect(codesOf(client)).toEqual([401]);
    expect(client.closeCode).toBeNull();
  });

  test('406 on an open socket, then 404', async () => {
    const fake = await started({ auth: { code: 406 } }, { authTimeoutMs: 50 });
    // With its key from the start: said later, it might come after the timeout.
    const client = rig.connect(fake.streamUrl(), 'json', HEADERS);
    await client.closed();
    expect(codesOf(client)).toEqual([406, 404]);
  });

  test('406 closes', async () => {
    const fake = await started({ auth: { code: 406, close: true } });
    const client = rig.connect(fake.streamUrl());
    await client.received(1);
    client.send(AUTH);
    await client.closed();
    expect(codesOf(client)).toEqual([406]);
  });

  test('405, and nothing is subscribed', async () => {
    const fake = await started({ subscribe: { code: 405, times: 1 } });
    const client = await rig.subscriber(fake, { bars: ['AAPL'] });
    expect(codesOf(client)).toEqual([405]);
    expect(fake.connections[0]!.subscribed).toEqual({});
    client.send({ action: 'subscribe', bars: ['AAPL'] });
    expect((await client.received(4))[3]).toMatchObject({ T: 'subscription', bars: ['AAPL'] });
  });

  test('pings are not answered', async () => {
    const fake = await started({ pong: false });
    const [mute, answered] = [rig.connect(fake.streamUrl()), rig.connect(fake.streamUrl())];
    await Promise.all([mute.received(1), answered.received(1)]);
    mute.socket.ping();
    // Behind the ping on the same socket: once it is answered, the ping was passed over.
    mute.send({ action: 'none' });
    answered.socket.ping();
    await mute.received(2);
    await waitFor(() => answered.pongs);
    expect(mute.pongs).toBe(0);
  });

  test.each([
    ['close', 1000],
    ['terminate', 1006],
  ] as const)('%s after two bars', async (how, code) => {
    const fake = await started({ data: [{ afterBars: 2, do: how }] });
    const client = await rig.subscriber(fake, ALL_OF_AAPL);
    fake.advanceTo(afterMinutes(5));
    expect(await client.closed()).toBe(code);
    if (how === 'close') expect(minutesOf(client)).toEqual([0, 1]);
    expect(fake.connections[0]).toMatchObject({ closeCode: code, sent: { b: 2 } });
  });

  test.each([
    ['muted for two bars', { do: 'mute', bars: 2 }, [0, 3, 4]],
    ['repeated', { do: 'duplicate' }, [0, 1, 1, 2, 3, 4]],
    ['out of order', { do: 'out_of_order' }, [0, 2, 1, 3, 4]],
  ])('%s', async (_, fault, minutes) => {
    const fake = await started({ data: [{ afterBars: 1, ...fault }] });
    const client = await rig.subscriber(fake, ALL_OF_AAPL);
    fake.advanceTo(afterMinutes(5));
    await client.received(3 + minutes.length);
    expect(minutesOf(client)).toEqual(minutes);
  });

  test('mute for good while the socket lives', async () => {
    const fake = await started({ data: [{ afterBars: 1, do: 'mute' }] });
    const client = await rig.subscriber(fake, ALL_OF_AAPL);
    fake.advanceTo(afterMinutes(5));
    client.socket.ping();
    await waitFor(() => client.pongs);
    expect(minutesOf(client)).toEqual([0]);
  });

  test.each(['json', 'msgpack'] as const)('a bar without its close in %s', async (encoding) => {
    const fake = await started({ data: [{ afterBars: 0, do: 'missing_field', field: 'c' }] });
    const client = await rig.subscriber(fake, ALL_OF_AAPL, encoding);
    fake.advanceTo(afterMinutes(2));
    const messages = (await client.received(5)).slice(3);
    expect(messages.map((message) => 'c' in message)).toEqual([false, true]);
  });

  test.each([
    ['bad_bytes', 1],
    ['not_an_array', 1],
    ['null_element', 1],
    ['other_encoding', 0],
  ] as const)('%s among the bars', async (what, unreadable) => {
    for (const encoding of ['json', 'msgpack'] as const) {
      const fake = await started({ data: [{ afterBars: 1, do: what }] });
      const client = await rig.subscriber(fake, ALL_OF_AAPL, encoding);
      fake.advanceTo(afterMinutes(2));
      await client.received(5);
      expect(client.unreadable).toBe(unreadable);
      expect(minutesOf(client)).toEqual([0, 1]);
    }
  });

  test('407, then closed', async () => {
    const fake = await started({ data: [{ afterBars: 1, do: 'error', code: 407, close: true }] });
    const client = await rig.subscriber(fake, ALL_OF_AAPL);
    fake.advanceTo(afterMinutes(1));
    await client.closed();
    expect(codesOf(client)).toEqual([407]);
  });
});

const ALL_OF_AAPL = { bars: ['AAPL'] };

test('anything can be sent to who subscribed it', async () => {
  const fake = await rig.start();
  const client = await rig.subscriber(fake, { statuses: ['AAPL'] });
  fake.send({ T: 's', S: 'MSFT', t: '2025-11-03T14:30:00Z' });
  fake.send({ T: 's', S: 'AAPL', t: '2025-11-03T14:30:00Z', sc: 'H' });
  expect((await client.received(4))[3]).toMatchObject({ T: 's', S: 'AAPL', sc: 'H' });
});

test('ten thousand symbols come within a second', async () => {
  const symbols = Array.from({ length: 10_000 }, (_, index) => `S${index}`);
  const market = createAlpacaMarket({ symbols, calendar: loadCalendar('24x7'), chances: { quiet: 0, late: 0 } });
  const fake = await rig.start({ ...UNLIMITED, market });
  const client = await rig.subscriber(fake, { bars: symbols }, 'msgpack');
  const begun = performance.now();
  fake.advanceTo(afterMinutes(1));
  expect(await client.received(10_003)).toHaveLength(10_003);
  // Some 100 ms on an idle machine; this one may be busy.
  expect(performance.now() - begun).toBeLessThan(5_000);
});
