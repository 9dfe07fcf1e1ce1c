import { waitFor } from '@candlewire/testkit';
import type { CandlewireClient } from './client.ts';
import { connect, server, take } from './live.suite.ts';
import { candle, change, EPOCH, type Peer, snapshot } from './server.suite.ts';
import type { SeriesCandle } from './types.ts';

describe('a loop over candles', () => {
  const begin = async (client: CandlewireClient, options: Parameters<CandlewireClient['candles']>[2] = {}) => {
    const iterator = client.candles('AAPL', '5m', { history: 3, ...options })[Symbol.asyncIterator]();
    const peer = await server.peer();
    await peer.acknowledge();
    peer.send(snapshot([candle(0, 2), candle(5, 5)], 5));
    return { iterator, peer };
  };
  /** Sent after everything else, it is there when everything else was read. */
  const settled = async (client: CandlewireClient, peer: Peer) => {
    const heard = jest.fn();
    client.followPrices('ZZZ', { price: heard });
    await peer.acknowledge();
    peer.send({ type: 'price_update', symbol: 'ZZZ' });
    await waitFor(() => heard.mock.calls.length === 1);
  };

  test('yields history, then changes', async () => {
    const { iterator, peer } = await begin(connect());
    const row = (minute: number, seq: number): SeriesCandle => ({
      symbol: 'AAPL',
      interval: '5m',
      epoch: EPOCH,
      ...candle(minute, seq),
    });
    expect(await take(iterator, 2)).toEqual([row(0, 2), row(5, 5)]);
    peer.send(change(candle(5, 6)));
    expect(await take(iterator, 1)).toEqual([row(5, 6)]);
  });

  test('conflates what waits: of each candle the newest state, in the order of the changes', async () => {
    const client = connect();
    const { iterator, peer } = await begin(client);
    for (let seq = 6; seq <= 1_005; seq++) peer.send(change(candle(seq % 2 === 0 ? 5 : 10, seq)));
    await settled(client, peer);
    const taken = await take(iterator, 3);
    expect(taken.map(({ timestamp, seq }) => [timestamp.slice(14, 16), seq])).toEqual([
      ['30', 2],
      ['35', 1_004],
      ['40', 1_005],
    ]);
    peer.send(change(candle(5, 1_006)));
    expect(await take(iterator, 1)).toMatchObject([{ seq: 1_006 }]);
  });

  test('ends a reader that is far too slow, instead of growing', async () => {
    const client = connect();
    const { iterator, peer } = await begin(client, { bufferMax: 3 });
    peer.send(change(candle(10, 6)), change(candle(10, 7)), change(candle(15, 8)));
    await settled(client, peer);
    await expect(iterator.next()).rejects.toMatchObject({ code: 'too_slow', retryable: true });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(await peer.next()).toMatchObject({ type: 'unsubscribe', channel: 'candles' });
  });

  test('drops what a reset made void, and says so', async () => {
    const client = connect();
    const [onReset, onSkipped] = [jest.fn(), jest.fn()];
    const { iterator, peer } = await begin(client, { onReset, onSkipped });
    const skipped = { type: 'skipped', symbol: 'AAPL', interval: '5m', count: 4 };
    peer.send(
      { type: 'reset', symbol: 'AAPL', interval: '5m', epoch: 'e2', seq: 1 },
      snapshot([candle(0, 1)], 1, 'e2'),
      skipped,
    );
    await settled(client, peer);
    expect(await take(iterator, 1)).toMatchObject([{ epoch: 'e2', seq: 1 }]);
    expect(onReset).toHaveBeenCalledWith(expect.objectContaining({ epoch: 'e2' }));
    expect(onSkipped).toHaveBeenCalledWith(skipped);
  });

  test('leaving it unsubscribes', async () => {
    const client = connect();
    const { iterator, peer } = await begin(client);
    await take(iterator, 1);
    await iterator.return!();
    expect(await peer.next()).toMatchObject({ type: 'unsubscribe' });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  test('an aborted signal throws its reason, whatever waits to be read', async () => {
    const client = connect();
    const abort = new AbortController();
    const { iterator, peer } = await begin(client, { signal: abort.signal });
    await take(iterator, 1);
    abort.abort(new Error('enough'));
    await expect(iterator.next()).rejects.toThrow('enough');
    expect(await peer.next()).toMatchObject({ type: 'unsubscribe' });
    const again = client.candles('AAPL', '5m', { signal: abort.signal });
    await expect(again[Symbol.asyncIterator]().next()).rejects.toThrow('enough');
  });
});

describe('prices', () => {
  const price = (symbol: string, value: number) => ({ type: 'price_update', symbol, price: value });

  test('of each symbol the latest waits; later followers begin with it', async () => {
    const client = connect();
    const iterator = client.prices(['AAPL', 'MSFT'])[Symbol.asyncIterator]();
    const peer = await server.peer();
    expect(await peer.acknowledge()).toMatchObject({ channel: 'prices', symbols: ['AAPL', 'MSFT'] });
    peer.send(price('AAPL', 1), price('MSFT', 2), price('AAPL', 3));
    const heard = jest.fn();
    client.followPrices('*', { price: heard });
    await peer.acknowledge();
    peer.send(price('ZZZ', 4));
    await waitFor(() => heard.mock.calls.length > 0);
    const later = jest.fn();
    client.followPrices('AAPL', { price: later });
    expect(later).toHaveBeenCalledWith(price('AAPL', 3));
    expect(await take(iterator, 2)).toEqual([price('MSFT', 2), price('AAPL', 3)]);
  });

  test.each([
    ['*', 'AAPL'],
    ['AAPL', '*'],
  ])('what came as %s is told to who comes for %s', async (first, second) => {
    const client = connect();
    const heard = jest.fn();
    client.followPrices(first, { price: heard });
    const peer = await server.peer();
    await peer.acknowledge();
    peer.send(price('AAPL', 1));
    await waitFor(() => heard.mock.calls.length === 1);
    const later = jest.fn();
    client.followPrices(second, { price: later });
    expect(later.mock.calls).toEqual([[price('AAPL', 1)]]);
  });

  test('a lost connection asks for all of them again', async () => {
    const heard = jest.fn();
    connect().followPrices(['AAPL', 'MSFT'], { price: heard });
    const peer = await server.peer();
    await peer.acknowledge();
    peer.socket.terminate();
    const next = await server.peer();
    expect(await next.acknowledge()).toMatchObject({ symbols: ['AAPL', 'MSFT'] });
    next.send(price('MSFT', 1));
    await waitFor(() => heard.mock.calls.length === 1);
  });
});

describe('symbols that the source does not deliver', () => {
  const leftOut = (...symbols: string[]) => ({ type: 'left_out', symbols });

  test('each subscription hears of its own, at each change', async () => {
    const client = connect();
    const [prices, candles, all, none] = [jest.fn(), jest.fn(), jest.fn(), jest.fn()];
    client.followPrices(['AAPL', 'QQQ'], { leftOut: prices });
    const peer = await server.peer();
    await peer.acknowledge();
    peer.send(leftOut('QQQ'));
    await waitFor(() => prices.mock.calls.length === 1);
    client.follow({ symbols: ['qqq', 'spy'], intervals: ['1m', '5m'] }, { leftOut: candles });
    client.followPrices('*', { leftOut: all });
    client.follow({ symbols: 'AAPL' }, { leftOut: none });
    peer.send(leftOut('MSFT', 'QQQ', 'SPY'), leftOut('MSFT'));
    await waitFor(() => all.mock.calls.length === 3);
    const told = (heard: jest.Mock) => heard.mock.calls.map(([event]) => event);
    expect(told(prices)).toEqual([leftOut('QQQ'), leftOut()]);
    expect(told(candles)).toEqual([leftOut('QQQ'), leftOut('QQQ', 'SPY'), leftOut()]);
    expect(told(all)).toEqual([leftOut('QQQ'), leftOut('MSFT', 'QQQ', 'SPY'), leftOut('MSFT')]);
    expect(told(none)).toEqual([]);
  });

  test('are not known without a connection, and told anew by the next one', async () => {
    const heard = jest.fn();
    connect().followPrices('QQQ', { leftOut: heard });
    const peer = await server.peer();
    await peer.acknowledge();
    peer.send(leftOut('QQQ'));
    await waitFor(() => heard.mock.calls.length === 1);
    peer.socket.terminate();
    const next = await server.peer();
    await next.acknowledge();
    next.send(leftOut('QQQ'));
    await waitFor(() => heard.mock.calls.length === 3);
    expect(heard.mock.calls.flat()).toEqual([leftOut('QQQ'), leftOut(), leftOut('QQQ')]);
  });

  test('are told to loops too, and no more after the end', async () => {
    const client = connect();
    const [candles, prices] = [jest.fn(), jest.fn()];
    const loops = [
      client.candles('QQQ', '5m', { onLeftOut: candles })[Symbol.asyncIterator](),
      client.prices('QQQ', { onLeftOut: prices })[Symbol.asyncIterator](),
    ];
    const peer = await server.peer();
    peer.send(leftOut('QQQ'));
    await waitFor(() => candles.mock.calls.length + prices.mock.calls.length === 2);
    await loops[0]!.return!();
    peer.send(leftOut());
    await waitFor(() => prices.mock.calls.length === 2);
    expect(candles.mock.calls).toEqual([[leftOut('QQQ')]]);
    await loops[1]!.return!();
  });
});
