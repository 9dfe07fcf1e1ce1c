import { type FeedStatus, INTERVALS } from '@candlewire/contracts';
import { describeWithRedis } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, type TestClient } from './test-client.suite';

describeWithRedis('symbols that the source does not deliver', () => {
  let rig: WsRig;
  let one: TestGateway;
  /** Follows everything: what it was told, the gateway knows. */
  let witness: TestClient;
  const clients: TestClient[] = [];

  beforeEach(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    witness = await connect({ symbols: ['*'] });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await rig.close();
  });

  /** A client that has subscribed to this, and was told what there is to tell of it. */
  async function connect(...subscriptions: readonly object[]): Promise<TestClient> {
    const client = await connectClient(one.origin, '/ws');
    clients.push(client);
    for (const more of subscriptions) client.say({ type: 'subscribe', ...more });
    await answered(client);
    return client;
  }

  async function answered(client: TestClient): Promise<void> {
    client.say({ type: 'ping' });
    await client.heard('pong', client.of('pong').length + 1);
  }

  function keep(change: Partial<FeedStatus>): Promise<void> {
    const updated_at = new Date().toISOString();
    const status: FeedStatus = { kind: 'alpaca', state: 'live', last_bar_at: null, clock: null, updated_at, ...change };
    return rig.bus.keep({ channel: rig.channels.feedStatus, text: JSON.stringify(status) });
  }

  /** The feed says so; all clients were told. */
  async function leaveOut(...symbols: string[]): Promise<void> {
    const before = witness.of('left_out').length;
    await keep(symbols.length === 0 ? {} : { left_out: symbols });
    await witness.heard('left_out', before + 1);
    for (const client of clients) await answered(client);
  }

  const lists = (client: TestClient) => client.of('left_out').map(({ symbols }) => symbols);

  test('are told to those who subscribe to them, behind the acknowledgement, and to nobody else', async () => {
    await leaveOut('QQQ', 'MSFT', 'AAPL');
    const client = await connect({ symbols: ['SPY', 'QQQ', 'AAPL'] });
    expect(client.told.slice(0, 2)).toEqual([
      { type: 'subscribed', channel: 'prices', symbols: ['SPY', 'QQQ', 'AAPL'] },
      { type: 'left_out', symbols: ['AAPL', 'QQQ'] },
    ]);
    expect(lists(await connect({ symbols: ['SPY'] }))).toEqual([]);
    client.say({ type: 'subscribe', channel: 'candles', symbols: ['MSFT'], intervals: INTERVALS });
    client.say({ type: 'subscribe', channel: 'candles', symbols: ['SPY'] });
    client.say({ type: 'subscribe', channel: 'candles', symbols: ['QQQ'] });
    await answered(client);
    expect(lists(client).slice(1)).toEqual([
      ['AAPL', 'MSFT', 'QQQ'],
      ['AAPL', 'MSFT', 'QQQ'],
    ]);
  });

  test('are told when that changes for a client, and with an empty list when all are delivered', async () => {
    const prices = await connect({ symbols: ['A', 'B'] });
    const candles = await connect({ channel: 'candles', symbols: ['B', 'C'], intervals: ['1m', '1d'] });
    const other = await connect({ symbols: ['D'] }, { channel: 'candles', symbols: ['D'] });
    await leaveOut('B', 'X');
    await leaveOut('X', 'C', 'B');
    await leaveOut('C', 'A');
    await leaveOut();
    expect(lists(prices)).toEqual([['B'], ['A'], []]);
    expect(lists(candles)).toEqual([['B'], ['B', 'C'], ['C'], []]);
    expect(lists(other)).toEqual([]);
    expect(lists(witness)).toEqual([['B', 'X'], ['B', 'C', 'X'], ['A', 'C'], []]);
  });

  test('are no errors, however often they are told', async () => {
    const client = await connect({ symbols: ['A'] });
    for (let i = 0; i < 25; i++) await leaveOut(...(i % 2 === 0 ? ['A'] : []));
    expect([lists(client).length, client.of('error')]).toEqual([25, []]);
  });

  test('are forgotten with the subscription', async () => {
    const client = await connect({ symbols: ['A', 'B'] }, { channel: 'candles', symbols: ['A'] });
    await leaveOut('A', 'B');
    for (const more of [{ symbols: ['A'] }, { symbols: ['B'] }, { channel: 'candles', symbols: ['A'] }])
      client.say({ type: 'unsubscribe', ...more });
    await answered(client);
    expect(lists(client)).toEqual([['A', 'B'], ['A'], []]);
    await leaveOut('A');
    expect(lists(client)).toHaveLength(3);
  });

  test('stay as they are while nobody knows better', async () => {
    const client = await connect({ symbols: ['A', 'B'] });
    await leaveOut('A');
    await keep({ updated_at: new Date(Date.now() - 60_000).toISOString(), left_out: ['B'] });
    await keep({ state: 'connecting' });
    await keep({ left_out: ['A'] });
    await leaveOut('A', 'B');
    expect(lists(client)).toEqual([['A'], ['A', 'B']]);
  });
});
