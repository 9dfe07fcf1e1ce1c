import { waitFor } from '@candlewire/testkit';
import { CandlewireClient } from './client.ts';
import { CandlewireError } from './errors.ts';
import { connect, follow, recorder, SINCE, seqs, server, stopTime } from './live.suite.ts';
import { candle, change, EPOCH, snapshot } from './server.suite.ts';

describe('for good', () => {
  test.each([1008, 4400, 4401, 4404, 4409])('%d ends everything with an error', async (code) => {
    const client = connect();
    const { peer, errors, states } = await follow(client);
    const loop = client.prices('AAPL')[Symbol.asyncIterator]();
    const next = loop.next();
    await peer.acknowledge();
    peer.send({ type: 'error', code: 'unauthorized', message: 'no' });
    peer.socket.close(code);
    await expect(next).rejects.toMatchObject({ status: code, code: 'unauthorized', retryable: false });
    expect(errors).toEqual([expect.objectContaining({ status: code, message: 'no' })]);
    expect(states.at(-1)).toMatchObject({ name: 'failed' });
    expect(() => client.follow({ symbols: 'AAPL' }, {})).toThrow('no');
  });

  test('a series that the server refuses fails alone', async () => {
    const client = connect();
    const [good, bad] = [recorder(), recorder()];
    client.follow({ symbols: 'AAPL', intervals: '5m' }, good.handlers);
    client.follow({ symbols: 'BAD', intervals: '5m' }, bad.handlers);
    const peer = await server.peer();
    const both = await peer.next();
    expect(both.symbols).toEqual(['AAPL', 'BAD']);
    peer.send({ type: 'error', id: both.id, code: 'invalid_parameter', message: 'one of them' });
    const ids = Object.fromEntries(
      [await peer.next(), await peer.next()].map(({ id, symbols }) => [String(symbols), id]),
    );
    peer.send({ type: 'error', id: ids.BAD, code: 'invalid_parameter', message: 'bad' }, snapshot([], 5));
    await waitFor(() => bad.errors.length + good.events.length === 2);
    expect(bad.errors[0]).toMatchObject({ code: 'invalid_parameter', message: 'bad' });
    expect([good.errors, seqs(good.events)]).toEqual([[], ['snapshot 5']]);
  });

  test('a series that cannot be had now is asked for again', async () => {
    const { events, errors, handlers } = recorder();
    connect().follow({ symbols: 'AAPL', intervals: '5m' }, handlers);
    const peer = await server.peer();
    const { id } = await peer.next();
    peer.send({ type: 'error', id, code: 'unavailable', message: 'not now' });
    expect(await peer.acknowledge()).toMatchObject({ type: 'subscribe', ...SINCE });
    peer.send(snapshot([], 5));
    await waitFor(() => events.length === 1);
    expect(errors).toEqual([]);
  });

  test('of several that were refused, those that come all the same go on, and the others are asked for together', async () => {
    const { events, handlers } = recorder();
    connect().follow({ symbols: ['A', 'B', 'C', 'D'], intervals: '5m' }, handlers);
    const peer = await server.peer();
    const { id } = await peer.next();
    const refusal = { type: 'error', id, code: 'unavailable', message: 'some of them' };
    peer.send(snapshot([], 5, EPOCH, 'A'), refusal, refusal, snapshot([], 6, EPOCH, 'B'));
    peer.send(change(candle(0, 7), EPOCH, 'A'), change(candle(0, 8), EPOCH, 'B'));
    await waitFor(() => events.length === 4);
    expect(seqs(events)).toEqual(['snapshot 5', 'snapshot 6', 'candle 7', 'candle 8']);
    expect(await peer.next()).toMatchObject({ type: 'subscribe', symbols: ['C', 'D'], snapshot: 1 });
    expect(peer.received).toHaveLength(2);
  });

  test('prices that cannot be had now are asked for again, together, or left', async () => {
    stopTime();
    const client = connect();
    client.followPrices(['A', 'B'], {});
    const subscription = client.followPrices('C', {});
    const peer = await server.peer();
    const { id } = await peer.next();
    peer.send({ type: 'error', id, code: 'unavailable', message: 'some of them' });
    const heard = jest.fn();
    client.followPrices('A', { price: heard });
    peer.send({ type: 'price_update', symbol: 'A' });
    await waitFor(() => heard.mock.calls.length === 1);
    subscription.close();
    expect(await peer.next()).toMatchObject({ type: 'unsubscribe', channel: 'prices', symbols: ['C'] });
    jest.advanceTimersByTime(1_000);
    expect(await peer.next()).toMatchObject({ type: 'subscribe', channel: 'prices', symbols: ['A', 'B'] });
  });

  test('bad arguments are told at once', () => {
    const client = connect();
    expect(() => client.candles('A B')).toThrow(CandlewireError);
    expect(() => client.candles([])).toThrow('at least one');
    expect(() => client.candles('AAPL', '2m' as '1m')).toThrow('interval: must be one of');
    expect(() => client.candles('AAPL', '1m', { history: 1_001 })).toThrow('0 to 1000');
    expect(() => new CandlewireClient('ftp://host')).toThrow('http://');
    expect(server.peers).toEqual([]);
  });
});
