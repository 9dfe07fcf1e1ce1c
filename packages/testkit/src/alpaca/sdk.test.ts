import { Alpaca, TimeFrame } from '@alpacahq/alpaca-trade-api';
import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { MONDAY_OPEN } from '../bars';
import { waitFor } from '../wait-for';
import { manualClock } from './clock';
import { FAKE_KEY, FAKE_SECRET, type FakeAlpaca } from './fake-alpaca';
import { BAR_DELAY_MS, createAlpacaMarket, UPDATE_DELAY_MS } from './market';
import { alpacaRig } from './rig.suite';

/** The official client, as it comes. */
const rig = alpacaRig();
const streams: { disconnect(): void }[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.disconnect();
  await rig.end();
});

const market = createAlpacaMarket({ chances: { quiet: 0, thin: 0, late: 0.5 } });
const afterMinutes = (count: number) => MONDAY_OPEN + count * MINUTE_MS + BAR_DELAY_MS;

function clientOf(fake: FakeAlpaca, secret = FAKE_SECRET): Alpaca {
  const fetchApi = (url: string | URL | Request, init?: RequestInit) => {
    const { pathname, search } = new URL(String(url));
    return fetch(`${fake.origin}${pathname}${search}`, init);
  };
  return new Alpaca({
    keyId: FAKE_KEY,
    secret,
    fetchApi,
    retry: { maxRetries: 2, baseDelayMs: 1, maxDelayMs: 5 },
  } as never);
}

function streamOf(fake: FakeAlpaca, options: { secret?: string } = {}) {
  const stream = clientOf(fake, options.secret).marketData.stockStream({ url: fake.streamUrl() });
  streams.push(stream);
  const seen = { states: [] as string[], errors: [] as string[], bars: [] as object[], updated: [] as object[] };
  stream.onStateChange((state: string) => seen.states.push(state));
  stream.onError((error: unknown) => seen.errors.push(String(error)));
  stream.onBar((bar) => seen.bars.push(bar));
  stream.onUpdatedBar((bar) => seen.updated.push(bar));
  return { stream, seen };
}

describe('the stream', () => {
  test('authenticates, subscribes and delivers exactly what was asked for', async () => {
    const fake = await rig.start({ market });
    const { stream, seen } = streamOf(fake);
    stream.subscribeForBars(['AAPL']);
    stream.subscribeForUpdatedBars(['AAPL']);
    stream.connect();
    await waitFor(() => fake.connections[0]?.subscribed.bars);
    fake.advanceTo(MONDAY_OPEN + 4 * MINUTE_MS + UPDATE_DELAY_MS);
    const minutes = [0, 1, 2, 3].map((minute) => MONDAY_OPEN + minute * MINUTE_MS);
    const first = minutes.map((minute) => market.first('AAPL', minute)).filter((bar) => bar !== null);
    const updated = minutes.map((minute) => market.updated('AAPL', minute)).filter((bar) => bar !== null);
    await waitFor(() => seen.bars.length >= first.length && seen.updated.length >= updated.length);
    expect(updated.length).toBeGreaterThan(0);
    const expected = (bars: typeof first) =>
      bars.map(({ symbol, openTime, open, high, low, close, volume, tradeCount, vwap }) => ({
        ...{ symbol, open, high, low, close, volume, tradeCount, vwap },
        timestamp: new Date(openTime),
        timestampRaw: `${new Date(openTime).toISOString().slice(0, 19)}.000000000Z`,
      }));
    expect(seen.bars).toEqual(expected(first));
    expect(seen.updated).toEqual(expected(updated));
    expect(fake.connections[0]).toMatchObject({ encoding: 'msgpack', path: '/v2/iex', authenticated: true });
    expect(seen.errors).toEqual([]);
  });

  test('stops for good at a wrong key', async () => {
    const fake = await rig.start({ market });
    const { stream, seen } = streamOf(fake, { secret: 'wrong' });
    stream.connect();
    await waitFor(() => seen.states.includes('disconnected'));
    expect(seen.errors).toEqual([expect.stringContaining('auth')]);
    expect(fake.connections).toHaveLength(1);
  });

  test('stays connected and does not know what to do where the account is full', async () => {
    const fake = await rig.start({ market });
    streamOf(fake).stream.connect();
    await waitFor(() => fake.live.length === 1);
    const { stream, seen } = streamOf(fake);
    stream.connect();
    await waitFor(() => seen.errors.length);
    expect(seen.errors).toEqual(['connection limit exceeded']);
    expect(seen.states.at(-1)).toBe('connected');
  });

  test.each(['close', 'terminate'] as const)('comes back after %s and subscribes again', async (how) => {
    const fake = await rig.start({ market, faults: { connections: { 1: { data: [{ afterBars: 1, do: how }] } } } });
    const { stream, seen } = streamOf(fake);
    stream.subscribeForBars(['AAPL']);
    stream.connect();
    await waitFor(() => fake.connections[0]?.subscribed.bars);
    fake.advanceTo(afterMinutes(1));
    await waitFor(() => fake.connections[1]?.subscribed.bars);
    fake.advanceTo(afterMinutes(2));
    await waitFor(() => seen.bars.some((bar) => (bar as { timestamp: Date }).timestamp.getTime() > MONDAY_OPEN));
    expect(fake.connections.map(({ closeCode }) => closeCode)).toEqual([how === 'close' ? 1000 : 1006, null]);
  });

  test.each(['bad_bytes', 'other_encoding', 'not_an_array', 'null_element'] as const)(
    'goes on after %s, with an error',
    async (what) => {
      const fake = await rig.start({ market, faults: { connections: { 1: { data: [{ afterBars: 1, do: what }] } } } });
      const { stream, seen } = streamOf(fake);
      stream.subscribeForBars(['AAPL']);
      stream.connect();
      await waitFor(() => fake.connections[0]?.subscribed.bars);
      fake.advanceTo(afterMinutes(3));
      await waitFor(() => seen.errors.length > 0 && seen.bars.length >= 2);
      expect(seen.errors).toEqual([expect.stringMatching(/failed to (decode|process) message/)]);
      expect(fake.connections).toHaveLength(1);
    },
  );

  test('hangs where the handshake does', async () => {
    const fake = await rig.start({ market, faults: { connections: { 1: { upgrade: 'hang' } } } });
    const { stream, seen } = streamOf(fake);
    stream.connect();
    await waitFor(() => fake.connections[0]);
    expect(seen.states.at(-1)).toBe('connecting');
    expect(fake.connections[0]!.upgraded).toBe(false);
  });
});

describe('REST', () => {
  const AFTER = { market, clock: manualClock(MONDAY_OPEN + 8 * HOUR_MS) };
  const ASKED = { timeframe: TimeFrame.Minute, start: new Date(MONDAY_OPEN), feed: 'iex' as const };

  test('pages of bars are followed to their end', async () => {
    const fake = await rig.start(AFTER);
    const end = new Date(MONDAY_OPEN + 99 * MINUTE_MS);
    const bars = await clientOf(fake).marketData.getStockBars({ ...ASKED, symbols: ['AAPL', 'MSFT'], end, limit: 45 });
    for (const symbol of ['AAPL', 'MSFT']) {
      const expected = market.history(symbol, MONDAY_OPEN, end.getTime() + 1, fake.now());
      expect(bars[symbol]!.map(({ timestamp, close, volume }) => ({ timestamp, close, volume }))).toEqual(
        expected.map(({ openTime, close, volume }) => ({ timestamp: new Date(openTime), close, volume })),
      );
    }
    expect(fake.requests.length).toBeGreaterThanOrEqual(4);
  });

  test('a wrong key is a PermissionError, a wrong timeframe a ValidationError', async () => {
    const fake = await rig.start(AFTER);
    const ask = (client: Alpaca, timeframe: unknown = ASKED.timeframe) =>
      client.marketData.getStockBarsFor('AAPL', { ...ASKED, timeframe: timeframe as never });
    await expect(ask(clientOf(fake, 'wrong'))).rejects.toMatchObject({ name: 'PermissionError', status: 403 });
    await expect(ask(clientOf(fake), '61Min')).rejects.toMatchObject({ name: 'ValidationError', status: 400 });
  });

  test('429 and 500 are tried again', async () => {
    const fake = await rig.start({ ...AFTER, faults: { requests: { 1: { status: 429 }, 2: { status: 500 } } } });
    const end = new Date(MONDAY_OPEN + 4 * MINUTE_MS);
    const bars = await clientOf(fake).marketData.getStockBarsFor('AAPL', { ...ASKED, end });
    expect(bars).toHaveLength(5);
    expect(fake.requests.map(({ status }) => status)).toEqual([429, 500, 200]);
  });

  test('the calendar, the clock, the assets and the latest price are understood', async () => {
    const fake = await rig.start(AFTER);
    const { trading, marketData } = clientOf(fake);
    const days = await trading.calendar.legacyCalendar({
      start: new Date('2026-11-25T00:00:00Z'),
      end: new Date('2026-11-30T00:00:00Z'),
    });
    expect(days).toHaveLength(3);
    expect(await trading.clock.legacyClock()).toMatchObject({ isOpen: false });
    expect(await trading.assets.getV2Assets({ status: 'active' })).toHaveLength(market.symbols.length);
    expect(await marketData.getLatestPrice('AAPL')).toBeGreaterThan(0);
  });
});
