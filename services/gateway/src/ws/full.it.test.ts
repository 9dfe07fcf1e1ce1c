import { CandleMessage, ResetMessage, SkippedMessage, SnapshotMessage, type WireCandle } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, type TestClient } from './test-client.suite';

/** More than the buffers of the system take, some 15 MB, and of no series so much that it would be a reset. */
const SLOW_SYMBOLS = 10;
const FLOOD_COMMITS = 15;
const FLOOD_CHANGES = 300;
/** However long that takes: it is not for its silence that a client is told less. */
const PATIENT = { stallMs: 600_000, pingMs: 600_000 };

describeWithRedis('/ws, channel candles', () => {
  let rig: WsRig;
  let one: TestGateway;
  let epoch: string;
  let client: TestClient;

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    epoch = (await rig.db.store.identity())!.epoch;
    await rig.writer.commit('AAPL', '1m', [
      [0, 100],
      [1, 101],
      [2, 102],
    ]);
  });
  beforeEach(async () => {
    client = await connectClient(one.origin, '/ws');
  });
  afterEach(() => client.close());
  afterAll(() => rig.close());

  const subscribe = (more: object) => client.say({ type: 'subscribe', channel: 'candles', ...more });
  const seqs = (type = 'candle') => client.of(type).map(({ seq }) => seq);
  const stored = async (symbol: string, after = 0): Promise<WireCandle[]> => {
    const { changes } = await rig.db.store.changes({ symbol, interval: '1m', after, limit: 100_000 });
    return changes.map(({ candleJson }) => JSON.parse(candleJson) as WireCandle);
  };
  test('a snapshot, and then each change, with the bytes of the bus', async () => {
    subscribe({ id: 'a', symbols: ['aapl'], snapshot: 2 });
    const snapshot = await client.heard('snapshot');
    expect(client.told[0]).toEqual({
      type: 'subscribed',
      id: 'a',
      channel: 'candles',
      symbols: ['AAPL'],
      intervals: ['1m'],
    });
    expect(SnapshotMessage.parse(snapshot)).toEqual(snapshot);
    expect(snapshot).toEqual({
      type: 'snapshot',
      symbol: 'AAPL',
      interval: '1m',
      epoch,
      seq: 3,
      candles: (await stored('AAPL')).slice(-2),
    });
    const before = await rig.writer.commit('AAPL', '1m', [[2, 103]]);
    const [candle] = await rig.publishAfter('AAPL', '1m', before - 1);
    const told = await client.heard('candle');
    expect(CandleMessage.parse(told)).toEqual(told);
    expect(told).toEqual({ type: 'candle', symbol: 'AAPL', interval: '1m', epoch, seq: before, candle });
  });

  test('without a snapshot it begins with what comes', async () => {
    subscribe({ symbols: ['LATE'] });
    await client.heard('subscribed');
    await waitFor(async () => {
      const seq = await rig.writer.commit('LATE', '1m', [[0, 1]]);
      await rig.publishAfter('LATE', '1m', seq - 1);
      return client.of('candle').length > 0;
    });
    expect(client.of('snapshot')).toEqual([]);
  });

  test('since: what changed, each candle once, and then what changes, on every replica', async () => {
    await rig.writer.commit('SINCE', '1m', [
      [0, 1],
      [1, 2],
    ]);
    await rig.writer.commit('SINCE', '1m', [
      [0, 3],
      [2, 4],
    ]);
    const another = await rig.gateway();
    for (const gateway of [one, another]) {
      const resumed = await connectClient(gateway.origin, '/ws');
      resumed.say({ type: 'subscribe', channel: 'candles', symbols: ['SINCE'], since: { epoch, seq: 1 }, snapshot: 9 });
      await resumed.heard('candle', 3);
      expect(resumed.of('candle').map(({ candle }) => candle)).toEqual(await stored('SINCE', 1));
      expect(resumed.told.map(({ type }) => type)).toEqual(['subscribed', 'candle', 'candle', 'candle']);
      await resumed.close();
    }
    subscribe({ symbols: ['SINCE'], since: { epoch, seq: 4 } });
    await client.heard('subscribed');
    client.say({ type: 'ping' });
    await client.heard('pong');
    expect(client.of('candle')).toEqual([]);
    await waitFor(async () => {
      const seq = await rig.writer.commit('SINCE', '1m', [[3, 5]]);
      await rig.publishAfter('SINCE', '1m', seq - 1);
      return client.of('candle').length > 0;
    });
    expect(seqs()[0]).toBe(5);
  });

  test.each([
    ['another epoch', () => ({ epoch: 'another', seq: 1 })],
    ['a seq of the future', () => ({ epoch, seq: 1_000_000 })],
  ])('since of %s is a reset and a snapshot', async (_what, since) => {
    subscribe({ symbols: ['AAPL'], since: since(), snapshot: 1 });
    const snapshot = await client.heard('snapshot');
    const [, reset] = client.told;
    expect(ResetMessage.parse(reset)).toEqual(reset);
    expect(reset).toMatchObject({ type: 'reset', symbol: 'AAPL', interval: '1m', epoch, seq: snapshot.seq });
    expect(snapshot.candles).toHaveLength(1);
  });

  test('a reset of who wants no rows brings a snapshot without any', async () => {
    subscribe({ symbols: ['AAPL'], since: { epoch: 'another', seq: 1 }, snapshot: 0 });
    const snapshot = await client.heard('snapshot');
    expect(SnapshotMessage.parse(snapshot)).toEqual(snapshot);
    expect([snapshot.candles, client.of('reset')[0]!.seq]).toEqual([[], snapshot.seq]);
  });

  test('more than ten thousand changes behind is a reset', async () => {
    for (let i = 0; i < 11; i++) {
      await rig.writer.commit(
        'FAR',
        '1m',
        Array.from({ length: 1_000 }, (_, at) => [at, i + 1] as const),
      );
    }
    subscribe({ symbols: ['FAR'], since: { epoch, seq: 1 } });
    expect((await client.heard('snapshot')).candles).toHaveLength(100);
    expect(client.of('reset')).toHaveLength(1);
  });

  test('subscribing again is acknowledged, and a snapshot told where one is asked for', async () => {
    subscribe({ symbols: ['AAPL'], intervals: ['1m', '1h'], snapshot: 1 });
    await client.heard('snapshot', 2);
    subscribe({ symbols: ['AAPL'], intervals: ['1m'] });
    await client.heard('subscribed', 2);
    subscribe({ symbols: ['AAPL'], intervals: ['1m'], snapshot: 3 });
    expect((await client.heard('snapshot', 3)).candles).toHaveLength(3);
    client.say({ type: 'unsubscribe', id: 9, channel: 'candles', symbols: ['AAPL'], intervals: ['1m'] });
    expect(await client.heard('unsubscribed')).toEqual({
      type: 'unsubscribed',
      id: 9,
      channel: 'candles',
      symbols: ['AAPL'],
      intervals: ['1h'],
    });
    expect(client.of('snapshot')).toHaveLength(3);
  });

  test('* is every known symbol, and one that appears begins with its first change', async () => {
    subscribe({ symbols: ['*'], snapshot: 1 });
    const known = (await rig.db.store.symbols()).map(({ symbol }) => symbol);
    await client.heard('snapshot', known.length);
    expect(
      client
        .of('snapshot')
        .map(({ symbol }) => symbol)
        .sort(),
    ).toEqual(known);
    await rig.writer.commit('NEWCOMER', '1m', [[0, 7]]);
    await rig.db.store.register([{ symbol: 'NEWCOMER', name: null }]);
    await rig.bus.publish([{ channel: rig.channels.symbols, text: 'NEWCOMER' }]);
    expect(await client.heard('candle')).toMatchObject({ symbol: 'NEWCOMER', seq: 1 });
  });

  test.each([
    ['intervals', { symbols: ['A'], intervals: ['2m'] }, /^intervals.*1m, 5m, 1h, 1d/],
    ['an empty list', { symbols: ['A'], intervals: [] }, /^intervals/],
    ['a snapshot', { symbols: ['A'], snapshot: 1_001 }, /^snapshot.*0 to 1000/],
    ['a snapshot', { symbols: ['A'], snapshot: '5' }, /^snapshot/],
    ['since', { symbols: ['A'], since: 5 }, /^since/],
    ['since', { symbols: ['A'], since: { epoch: 'e', seq: -1 } }, /^since/],
    ['since of two series', { symbols: ['A', 'B'], since: { epoch: 'e', seq: 1 } }, /^since.*one symbol/],
    ['since of all', { symbols: ['*'], since: { epoch: 'e', seq: 1 } }, /^since.*one symbol/],
    [
      'too many rows',
      { symbols: Array.from({ length: 101 }, (_, i) => `S${i}`), snapshot: 1_000 },
      /^snapshot.*100000 rows/,
    ],
  ])('%s that is wrong is an error, and nothing is subscribed', async (_what, more, message) => {
    subscribe({ id: 1, ...more });
    expect(await client.heard('error')).toEqual({
      type: 'error',
      id: 1,
      code: 'invalid_parameter',
      message: expect.stringMatching(message),
    });
    client.say({ type: 'unsubscribe', channel: 'candles', symbols: ['NONE'] });
    expect((await client.heard('unsubscribed')).symbols).toEqual([]);
  });

  test('who reads too slowly misses states, is told how many, and knows every candle as it is in the end', async () => {
    const gateway = await rig.gateway({ limits: { queueSoftBytes: 32_768, ...PATIENT } });
    client = await connectClient(gateway.origin, '/ws');
    const symbols = Array.from({ length: SLOW_SYMBOLS }, (_, i) => `SLOW${i}`);
    subscribe({ symbols, snapshot: 1 });
    await client.heard('snapshot', symbols.length);
    client.ws.pause();
    for (let commit = 1; commit <= FLOOD_COMMITS; commit++) {
      const changes = Array.from({ length: FLOOD_CHANGES }, (_, minute) => [minute, commit] as const);
      for (const symbol of symbols) {
        const seq = await rig.writer.commit(symbol, '1m', changes);
        await rig.publishAfter(symbol, '1m', seq - FLOOD_CHANGES);
      }
    }
    client.ws.resume();
    for (const symbol of symbols) {
      const told = () => client.of('candle').filter((message) => message.symbol === symbol);
      const { seq } = (await rig.db.store.head(symbol, '1m'))!;
      await waitFor(() => told().at(-1)?.seq === seq, { timeoutMs: 30_000, what: 'the last change is told' });
      const candles = new Map(told().map(({ candle }) => [(candle as WireCandle).timestamp, candle as WireCandle]));
      expect([...candles.values()].sort((a, b) => a.seq - b.seq)).toEqual(await stored(symbol));
      const numbers = told().map((message) => Number(message.seq));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      const skipped = client.of('skipped').filter((message) => message.symbol === symbol);
      for (const message of skipped) expect(SkippedMessage.parse(message)).toEqual(message);
      expect(numbers.length + skipped.reduce((sum, { count }) => sum + Number(count), 0)).toBe(seq);
    }
    expect(client.of('skipped').length).toBeGreaterThan(0);
  });
});
