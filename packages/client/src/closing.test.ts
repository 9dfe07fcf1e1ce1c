import { waitFor } from '@candlewire/testkit';
import { connect, follow, server } from './live.suite.ts';

describe('close', () => {
  test('ends loops, tells nobody any more, and closes the connection', async () => {
    const client = connect();
    const { peer, events, states } = await follow(client);
    const next = client.prices('AAPL')[Symbol.asyncIterator]().next();
    await peer.acknowledge();
    client.close();
    client.close();
    expect(await next).toEqual({ done: true, value: undefined });
    await waitFor(() => peer.isClosed);
    expect(states.at(-1)).toEqual({ name: 'closed' });
    expect(events).toHaveLength(1);
    expect(() => client.follow({ symbols: 'AAPL' }, {})).toThrow('closed');
  });

  test('in the middle of connecting is no error', async () => {
    const client = connect();
    client.follow({ symbols: 'AAPL' }, {});
    await new Promise(setImmediate);
    expect(client.state).toEqual({ name: 'connecting' });
    client.close();
    expect(client.state).toEqual({ name: 'closed' });
  });

  test('by a handler that hears of a lost connection is for good', async () => {
    const client = connect();
    const heard = jest.fn(({ symbols }: { symbols: readonly string[] }) => {
      if (symbols.length === 0) client.close();
    });
    client.followPrices('QQQ', { leftOut: heard });
    const peer = await server.peer();
    peer.send({ type: 'left_out', symbols: ['QQQ'] });
    await waitFor(() => heard.mock.calls.length === 1);
    peer.socket.terminate();
    await waitFor(() => heard.mock.calls.length === 2);
    expect(client.state).toEqual({ name: 'closed' });
    expect(() => client.followPrices('QQQ', {})).toThrow('closed');
  });

  test('while it waits to come back, and while it connects, it leaves no timer', async () => {
    const waiting = connect({ reconnectMinMs: 60_000, reconnectMaxMs: 60_000 });
    const { peer } = await follow(waiting);
    peer.socket.terminate();
    await waitFor(() => waiting.state.name === 'waiting');
    jest.useFakeTimers({ doNotFake: ['queueMicrotask'] });
    try {
      waiting.close();
      const connecting = connect();
      connecting.follow({ symbols: 'AAPL' }, {});
      connecting.close();
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
    expect(server.peers).toHaveLength(1);
  });
});
