import type { WireCandle } from '@candlewire/contracts';
import { StoreUnavailable } from '@candlewire/store';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { encodeBarMessage, historyRow } from '../timeframes';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, type Told } from './test-client.suite';

const BAR_KEYS =
  'type,symbol,timestamp,open,high,low,close,volume,timeframe,market_status,ATR,RSI,MA40,MA80,MA160,final,revision';

describeWithRedis('/ws/candles', () => {
  let rig: WsRig;
  let one: TestGateway;

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    await rig.writer.commit('AAPL', '5m', [
      [0, 100],
      [5, 101],
      [10, 102],
    ]);
  });
  afterAll(() => rig.close());

  const publishAfter = (symbol: string, after: number) => rig.publishAfter(symbol, '5m', after);
  const bar = (candle: WireCandle, symbol = 'AAPL') => JSON.parse(encodeBarMessage(symbol, '5Min', candle)) as Told;

  test('history comes first, as /historical has it, and then each change', async () => {
    const client = await connectClient(one.origin, '/ws/candles/aapl?timeframe=5Min&limit=2');
    const historical = await client.heard('historical');
    const asked = await fetch(`${one.origin}/api/symbols/AAPL/historical?timeframe=5Min&limit=2`);
    const { data } = (await asked.json()) as { data: unknown };
    expect(historical).toEqual({ type: 'historical', symbol: 'AAPL', timeframe: '5Min', data });
    expect(Object.keys(historical)).toEqual(['type', 'symbol', 'timeframe', 'data']);

    const seq = await rig.writer.commit('AAPL', '5m', [
      [10, 103],
      [15, 104],
    ]);
    const changed = await publishAfter('AAPL', seq - 2);
    await client.heard('bar', 2);
    expect(client.told.slice(1)).toEqual(changed.map((candle) => bar(candle)));
    expect(Object.keys(client.told[1]!).join()).toBe(BAR_KEYS);
    expect(client.told[2]).toMatchObject({ timestamp: '2025-11-03T09:45:00-05:00', timeframe: '5Min', close: 104 });
    // Again, as after a takeover: nobody is told twice.
    await publishAfter('AAPL', seq - 2);
    // On the same channel: what was published before it was heard before it.
    await rig.writer.commit('AAPL', '5m', [[15, 104.5]]);
    const [next] = await publishAfter('AAPL', seq);
    client.say({ type: 'ping', id: 1 });
    await client.heard('pong');
    await client.heard('bar', 3);
    await client.close();
    const told = client.told.slice(3);
    expect(told).toHaveLength(2);
    expect(told).toEqual(expect.arrayContaining([{ type: 'pong', id: 1 }, bar(next!)]));
  });

  test('a lost message, and a flood told as one, are made good from the store', async () => {
    // Nobody looks at the heads, perhaps between two commits: it is messages that tell of each.
    const heads = () => Promise.reject(new StoreUnavailable(new Error('away')));
    const gateway = await rig.gateway({ store: { heads } });
    const client = await connectClient(gateway.origin, '/ws/candles/AAPL?timeframe=5Min&limit=1');
    await client.heard('historical');
    const lost = await rig.writer.commit('AAPL', '5m', [
      [20, 105],
      [25, 106],
    ]);
    const seq = await rig.writer.commit('AAPL', '5m', [[25, 107]]);
    await publishAfter('AAPL', lost);
    await client.heard('bar', 2);
    expect(client.of('bar').map(({ close }) => close)).toEqual([105, 107]);

    const flooded = await rig.writer.commit('AAPL', '5m', [
      [30, 108],
      [35, 109],
    ]);
    const { epoch } = (await rig.db.store.identity())!;
    const text = `{"type":"changed","symbol":"AAPL","interval":"5m","epoch":"${epoch}","seq":${flooded}}`;
    await rig.bus.publish([{ channel: rig.channels.candles('5m', 'AAPL'), text: 'no message at all' }]);
    await rig.bus.publish([{ channel: rig.channels.candles('5m', 'AAPL'), text }]);
    await client.heard('bar', 4);
    expect(client.of('bar').map(({ close }) => close)).toEqual([105, 107, 108, 109]);
    expect(flooded).toBe(seq + 2);
    await client.close();
  });

  test('another epoch begins with a new history', async () => {
    let epoch: string | null = null;
    const { store } = rig.db;
    const reborn = async <Page extends object>(page: Promise<Page>) => ({ ...(await page), ...(epoch && { epoch }) });
    const gateway = await rig.gateway({
      store: {
        candles: (query) => reborn(store.candles(query)),
        changes: (query) => reborn(store.changes(query)),
      },
    });
    const client = await connectClient(gateway.origin, '/ws/candles/AAPL?timeframe=5Min&limit=1');
    await client.heard('historical');
    epoch = 'another';
    const { seq } = (await store.head('AAPL', '5m'))!;
    const text = `{"type":"changed","symbol":"AAPL","interval":"5m","epoch":"another","seq":${seq}}`;
    await rig.bus.publish([{ channel: rig.channels.candles('5m', 'AAPL'), text }]);
    await client.heard('historical', 2);
    await client.close();
  });

  test('a symbol that nobody sends yet has no history, and its source is asked for it', async () => {
    const client = await connectClient(one.origin, '/ws/candles/FRESH?timeframe=5Min');
    expect(await client.heard('historical')).toMatchObject({ symbol: 'FRESH', data: [] });
    await waitFor(async () => (await rig.bus.demand.wanted()).includes('FRESH'));
    await rig.writer.commit('FRESH', '5m', [[0, 1]]);
    const [candle] = await publishAfter('FRESH', 0);
    expect(await client.heard('bar')).toEqual(bar(candle!, 'FRESH'));
    expect(historyRow(candle!)).toMatchObject({ timestamp: '2025-11-03T09:30:00-05:00' });
    await client.close();
  });

  test.each([
    ['A%2FB', 4404, /^symbol/],
    ['', 4404, /^symbol/],
    ['%E0%A4%A', 4404, /^symbol/],
    ['AAPL?timeframe=1m', 4400, /^timeframe.*1Min, 5Min, 1Hour, 1Day/],
    ['AAPL?limit=0', 4400, /^limit/],
    ['AAPL?limit=1001', 4400, /^limit/],
    ['AAPL?limit=1&limit=1', 4400, /^limit/],
  ])('%s is refused with an error and a code', async (path, code, message) => {
    const client = await connectClient(one.origin, `/ws/candles/${path}`);
    expect((await client.closed()).code).toBe(code);
    expect(client.told).toEqual([
      { type: 'error', code: 'invalid_parameter', message: expect.stringMatching(message) },
    ]);
  });

  test('a subscription has no place here, and says so', async () => {
    const client = await connectClient(one.origin, '/ws/candles/AAPL');
    client.say({ type: 'subscribe', id: 1, symbols: ['AAPL'] });
    expect(await client.heard('error')).toMatchObject({ id: 1, code: 'invalid_parameter' });
    await client.close();
  });
});
