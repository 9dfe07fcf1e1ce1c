import { MINUTE_MS, type PriceUpdate, priceUpdate, toIso } from '@candlewire/contracts';
import { describeWithRedis, MONDAY_OPEN, waitFor } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, type TestClient } from './test-client.suite';

describeWithRedis('/ws', () => {
  let rig: WsRig;
  let one: TestGateway;
  let client: TestClient;

  const price = (symbol: string, at: number): PriceUpdate =>
    priceUpdate(symbol, at, 90, toIso(MONDAY_OPEN + at * MINUTE_MS), 100);
  const publish = (...prices: PriceUpdate[]) =>
    rig.bus.publish(prices.map((p) => ({ channel: rig.channels.prices(p.symbol), text: JSON.stringify(p) })));
  /** The price that follows from the minutes in the store. */
  const stored = (symbol: string, close: number, minute: number): PriceUpdate =>
    priceUpdate(symbol, close, 90, toIso(MONDAY_OPEN + minute * MINUTE_MS), 100);

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    for (const symbol of ['AAPL', 'MSFT']) {
      await rig.writer.commit(symbol, '1d', [[-1_440, 90]]);
      await rig.writer.commit(symbol, '1m', [[0, 99]]);
    }
  });
  afterAll(() => rig.close());
  beforeEach(async () => {
    client = await connectClient(one.origin, '/ws');
  });
  afterEach(() => client.close());

  test('a subscription is acknowledged, tells the current price, and then each one', async () => {
    client.say({ type: 'subscribe', id: { n: [1] }, symbols: ['aapl'] });
    await client.heard('price_update');
    expect(client.told).toEqual([
      { type: 'subscribed', id: { n: [1] }, channel: 'prices', symbols: ['AAPL'] },
      stored('AAPL', 99, 0),
    ]);
    await publish(price('AAPL', 101), price('MSFT', 7), price('AAPL', 102));
    await client.heard('price_update', 3);
    expect(client.told.slice(2)).toEqual([price('AAPL', 101), price('AAPL', 102)]);

    const second = await connectClient(one.origin, '/ws');
    second.say({ type: 'subscribe', channel: 'prices', symbols: ['AAPL', 'MSFT', 'AAPL'] });
    await second.heard('price_update', 2);
    expect(second.told[0]).toEqual({ type: 'subscribed', channel: 'prices', symbols: ['AAPL', 'MSFT'] });
    expect(second.told.slice(1)).toEqual(expect.arrayContaining([price('AAPL', 102), stored('MSFT', 99, 0)]));
    await second.close();
  });

  test('subscribing again is acknowledged with the set in force, unsubscribing ends it', async () => {
    client.say({ type: 'subscribe', symbols: ['AAPL'] });
    await client.heard('price_update');
    client.say({ type: 'subscribe', symbols: ['AAPL', 'GONE'] });
    expect((await client.heard('subscribed', 2)).symbols).toEqual(['AAPL', 'GONE']);
    await rig.hears(client, 'GONE');
    client.say({ type: 'unsubscribe', id: 0, symbols: ['AAPL', 'OTHER'] });
    expect(await client.heard('unsubscribed')).toEqual({
      type: 'unsubscribed',
      id: 0,
      channel: 'prices',
      symbols: ['GONE'],
    });
    await publish(price('AAPL', 103), price('GONE', 1));
    await waitFor(() => client.told.at(-1)?.symbol === 'GONE');
    expect(client.of('price_update')).toHaveLength(2);
  });

  test('what is named anew is told its current price, though it was told for another name', async () => {
    client.say({ type: 'subscribe', symbols: ['*'] });
    await client.heard('price_update', 2);
    await publish(price('AAPL', 110));
    await client.heard('price_update', 3);
    client.say({ type: 'subscribe', id: 1, symbols: ['AAPL'] });
    await client.heard('price_update', 4);
    expect(client.told.slice(-2)).toMatchObject([{ type: 'subscribed', id: 1 }, price('AAPL', 110)]);
    // It is named already, and told once.
    client.say({ type: 'subscribe', id: 2, symbols: ['AAPL'] });
    await client.heard('subscribed', 3);
    await publish(price('AAPL', 111));
    await client.heard('price_update', 5);
    expect(client.told.slice(-2)).toMatchObject([{ type: 'subscribed', id: 2 }, price('AAPL', 111)]);

    const named = await connectClient(one.origin, '/ws');
    named.say({ type: 'subscribe', symbols: ['AAPL'] });
    await named.heard('price_update');
    named.say({ type: 'subscribe', symbols: ['*'] });
    await named.heard('price_update', 3);
    expect(new Set(named.told.slice(-2).map(({ symbol }) => symbol))).toEqual(new Set(['AAPL', 'MSFT']));
    await named.close();
  });

  test('* is all known symbols, and those that appear', async () => {
    client.say({ type: 'subscribe', symbols: ['*', 'AAPL'] });
    expect((await client.heard('subscribed')).symbols).toEqual(['*', 'AAPL']);
    await waitFor(() => new Set(client.of('price_update').map(({ symbol }) => symbol)).size === 2);
    expect(client.of('price_update')).toHaveLength(2);

    await fetch(`${one.origin}/api/symbols`, { method: 'POST', body: '{"symbol":"LATER"}' });
    await waitFor(async () => {
      await publish(price('LATER', 5));
      return client.told.some(({ symbol }) => symbol === 'LATER');
    });
    // With its first bar, announced to nobody.
    await rig.writer.commit('UNTOLD', '1m', [[3, 33]]);
    await waitFor(() => client.told.some(({ symbol }) => symbol === 'UNTOLD'));

    client.say({ type: 'unsubscribe', symbols: ['*'] });
    expect((await client.heard('unsubscribed')).symbols).toEqual(['AAPL']);
    const before = client.told.length;
    await publish(price('MSFT', 8), price('AAPL', 104));
    await waitFor(() => client.told.length > before);
    expect(client.told.slice(before)).toEqual([price('AAPL', 104)]);
  });

  test('a ping is answered with its id, and without one where it has none', async () => {
    client.say({ type: 'ping', id: 'x' });
    client.say({ type: 'ping' });
    await client.heard('pong', 2);
    expect(client.told).toEqual([{ type: 'pong', id: 'x' }, { type: 'pong' }]);
  });

  test.each([
    ['no JSON', 'subscribe', 'invalid_message', /^message/],
    ['no object', '[1]', 'invalid_message', /^message/],
    ['null', 'null', 'invalid_message', /^message/],
    ['no type', '{}', 'invalid_parameter', /^type/],
    ['a type that nobody knows', '{"type":"hello"}', 'invalid_parameter', /^type.*subscribe, unsubscribe, ping/],
    ['a type of every object', '{"type":"constructor"}', 'invalid_parameter', /^type/],
    ['no symbols', '{"type":"subscribe"}', 'invalid_parameter', /^symbols/],
    ['an empty list', '{"type":"subscribe","symbols":[]}', 'invalid_parameter', /^symbols/],
    ['a symbol that is none', '{"type":"subscribe","symbols":["AAPL","A/B"]}', 'invalid_parameter', /^symbols/],
    ['a number', '{"type":"unsubscribe","symbols":[1]}', 'invalid_parameter', /^symbols/],
    ['a channel that is none', '{"type":"subscribe","channel":"x","symbols":["A"]}', 'invalid_parameter', /^channel/],
  ])('%s is an error, and the connection stays', async (_what, text, code, message) => {
    client.say(text);
    expect(await client.heard('error')).toEqual({ type: 'error', code, message: expect.stringMatching(message) });
    client.say({ type: 'subscribe', symbols: 1, id: 7 });
    expect(await client.heard('error', 2)).toMatchObject({ id: 7, code: 'invalid_parameter' });
    client.say({ type: 'ping' });
    await client.heard('pong');
    expect(client.of('subscribed')).toEqual([]);
  });

  test('what clients name is leased for as long as somebody watches it, until it is deactivated', async () => {
    client.say({ type: 'subscribe', symbols: ['*', 'WATCHED', 'DELETED'] });
    await waitFor(async () => `${(await rig.bus.demand.wanted()).filter((s) => /ED$/.test(s))}` === 'WATCHED,DELETED');
    await rig.db.store.register([{ symbol: 'DELETED', name: null }]);
    expect((await fetch(`${one.origin}/api/symbols/DELETED`, { method: 'DELETE' })).status).toBe(204);
    await waitFor(async () => !(await rig.bus.demand.wanted()).includes('DELETED'));
    expect(await rig.bus.demand.wanted()).toContain('WATCHED');
    expect(await rig.bus.demand.wanted()).not.toContain('UNTOLD');
  });

  test('prices go on after Redis was away', async () => {
    client.say({ type: 'subscribe', symbols: ['MSFT'] });
    await client.heard('price_update');
    await rig.redis.cut();
    const late = await connectClient(one.origin, '/ws');
    late.say({ type: 'subscribe', symbols: ['MSFT'] });
    await late.heard('subscribed');
    await rig.redis.heal();
    await waitFor(async () => {
      await publish(price('MSFT', 55));
      return [client, late].every(({ told }) => told.at(-1)?.price === 55);
    });
    await late.close();
  });
});
