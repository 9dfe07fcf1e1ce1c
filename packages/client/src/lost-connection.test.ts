import { waitFor } from '@candlewire/testkit';
import { WebSocket } from 'ws';
import { CandlewireClient } from './client.ts';
import type { WebSocketClass } from './link.ts';
import { clients, connect, follow, recorder, SINCE, seqs, server, stopTime } from './live.suite.ts';
import { candle, change, EPOCH, snapshot } from './server.suite.ts';

describe('a lost connection', () => {
  test('goes on from where it was', async () => {
    const { peer, events } = await follow(connect());
    peer.send(change(candle(5, 6)));
    await waitFor(() => events.length === 2);
    peer.socket.terminate();
    const next = await server.peer();
    expect(await next.acknowledge()).toMatchObject({ ...SINCE, since: { epoch: EPOCH, seq: 6 }, snapshot: 3 });
    next.send(change(candle(5, 6)), change(candle(5, 7)));
    await waitFor(() => events.length === 3);
    expect(seqs(events)).toEqual(['snapshot 5', 'candle 6', 'candle 7']);
  });

  test('asks again for a snapshot that did not come', async () => {
    const { events, handlers } = recorder();
    connect().follow({ symbols: 'AAPL', intervals: '5m', history: 1 }, handlers);
    const peer = await server.peer();
    await peer.acknowledge();
    peer.socket.terminate();
    const next = await server.peer();
    expect(await next.acknowledge()).toEqual({ type: 'subscribe', id: expect.anything(), ...SINCE, snapshot: 1 });
    next.send(snapshot([candle(0, 1)], 1));
    await waitFor(() => events.length === 1);
  });

  test('after a reset a new snapshot takes the place of all', async () => {
    const { peer, events } = await follow(connect());
    peer.socket.terminate();
    const next = await server.peer();
    await next.acknowledge();
    next.send({ type: 'reset', symbol: 'AAPL', interval: '5m', epoch: 'e2', seq: 1 });
    next.send(snapshot([candle(0, 1)], 1, 'e2'), change(candle(0, 2), 'e2'));
    await waitFor(() => events.length === 4);
    expect(seqs(events)).toEqual(['snapshot 5', 'reset 1', 'snapshot 1', 'candle 2']);
  });

  test('another epoch that nobody spoke of is a reset', async () => {
    const { peer, events } = await follow(connect());
    peer.send(change(candle(0, 9), 'e2'));
    expect(await peer.acknowledge()).toEqual({ type: 'subscribe', id: expect.anything(), ...SINCE, snapshot: 3 });
    peer.send(snapshot([candle(0, 9)], 9, 'e2'));
    await waitFor(() => events.length === 3);
    expect(seqs(events)).toEqual(['snapshot 5', 'reset 9', 'snapshot 9']);
  });

  test('1012 comes back when the server said', async () => {
    const { peer, states } = await follow(connect({ reconnectMinMs: 60_000, reconnectMaxMs: 60_000 }));
    const askedAt = Date.now();
    peer.send({ type: 'shutdown', reconnect_after_ms: 150 });
    peer.socket.close(1012);
    await server.peer();
    expect(Date.now() - askedAt).toBeGreaterThanOrEqual(145);
    expect(states).toContainEqual({
      name: 'waiting',
      retryInMs: 150,
      error: expect.objectContaining({ status: 1012 }),
    });
  });

  test.each([1001, 1011, 4408, 4429, 4500, 4503])('%d comes back', async (code) => {
    const { peer } = await follow(connect());
    peer.socket.close(code);
    expect(await (await server.peer()).next()).toMatchObject({ since: { epoch: EPOCH, seq: 5 } });
  });

  test('pauses double, with chance in them', async () => {
    const { states, handlers } = recorder();
    const client = new CandlewireClient('http://127.0.0.1:9', { reconnectMinMs: 8, reconnectMaxMs: 64 });
    clients.push(client);
    client.follow({ symbols: 'AAPL' }, handlers);
    const pauses = () => states.flatMap(({ retryInMs }) => retryInMs ?? []);
    await waitFor(() => pauses().length >= 6);
    for (const [i, max] of [8, 16, 32, 64, 64, 64].entries()) {
      expect(pauses()[i]).toBeGreaterThanOrEqual(max / 2);
      expect(pauses()[i]).toBeLessThanOrEqual(max);
    }
  });

  test('silence is a loss, any message is none', async () => {
    stopTime();
    const heard = jest.fn();
    class Watched extends WebSocket {
      constructor(url: string) {
        super(url);
        this.on('message', heard);
      }
    }
    const { peer, events } = await follow(
      connect({ silenceMs: 1_500, WebSocket: Watched as unknown as WebSocketClass }),
    );
    for (let n = 0; n < 3; n++) {
      jest.advanceTimersByTime(1_000);
      const before = heard.mock.calls.length;
      peer.send({ type: 'heartbeat', timestamp: '2025-11-03T14:30:00Z' });
      await waitFor(() => heard.mock.calls.length > before);
    }
    jest.advanceTimersByTime(1_499);
    expect([peer.isClosed, server.peers.length]).toEqual([false, 1]);
    // And as long a pause as there may be before it comes back.
    jest.advanceTimersByTime(1 + 20);
    const next = await server.peer();
    await waitFor(() => peer.isClosed);
    expect(await next.acknowledge()).toMatchObject({ since: { epoch: EPOCH, seq: 5 } });
    expect(seqs(events)).toEqual(['snapshot 5']);
  });

  test('many series resume within the rate of the server', async () => {
    const symbols = Array.from({ length: 110 }, (_, i) => `S${i}`);
    const client = connect();
    client.follow({ symbols, intervals: '5m' }, {});
    const peer = await server.peer();
    await peer.acknowledge();
    for (const symbol of symbols) peer.send(snapshot([], 5, EPOCH, symbol));
    peer.send({ type: 'shutdown', reconnect_after_ms: 0 });
    stopTime();
    peer.socket.close(1012);
    await waitFor(() => client.state.name === 'waiting');
    jest.advanceTimersByTime(1);
    const next = await server.peer();
    // 90 at once, 18 a second.
    await waitFor(() => next.received.length >= 90);
    jest.advanceTimersByTime(500);
    await waitFor(() => next.received.length > 90);
    expect(next.received.length).toBeLessThan(100);
    jest.advanceTimersByTime(1_000);
    await waitFor(() => next.received.length === 110);
    expect(new Set(next.received.map(({ symbols }) => String(symbols))).size).toBe(110);
  });
});

describe('after a lost connection', () => {
  test('what many share comes first: prices, then series that never began, then those that are resumed one by one', async () => {
    const client = connect();
    client.follow({ symbols: ['S1', 'S2', 'LATE'], intervals: '5m' }, {});
    client.followPrices(['AAPL', 'MSFT'], {});
    const peer = await server.peer();
    await waitFor(() => peer.received.length === 2);
    const heard = jest.fn();
    client.followPrices('ZZZ', { price: heard });
    peer.send(snapshot([], 5, EPOCH, 'S1'), snapshot([], 6, EPOCH, 'S2'), { type: 'price_update', symbol: 'ZZZ' });
    await waitFor(() => heard.mock.calls.length === 1);
    peer.socket.terminate();
    const next = await server.peer();
    await waitFor(() => next.received.length === 4);
    expect(next.received.map(({ channel, symbols, since }) => [channel, symbols, since])).toEqual([
      ['prices', ['AAPL', 'MSFT', 'ZZZ'], undefined],
      ['candles', ['LATE'], undefined],
      ['candles', ['S1'], { epoch: EPOCH, seq: 5 }],
      ['candles', ['S2'], { epoch: EPOCH, seq: 6 }],
    ]);
  });

  test('an error that answers nothing of a quiet series takes nothing from it', async () => {
    const { peer, events } = await follow(connect());
    peer.socket.terminate();
    const next = await server.peer();
    await next.acknowledge();
    next.send({ type: 'error', code: 'unavailable', message: 'some of them' });
    next.send(change(candle(5, 6)), change(candle(5, 7)));
    await waitFor(() => events.length === 3);
    expect(seqs(events)).toEqual(['snapshot 5', 'candle 6', 'candle 7']);
  });
});
