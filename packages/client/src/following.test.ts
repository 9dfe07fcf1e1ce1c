import { waitFor } from '@candlewire/testkit';
import { connect, follow, recorder, SINCE, seqs, server } from './live.suite.ts';
import { candle, change, EPOCH, snapshot } from './server.suite.ts';

describe('joining', () => {
  test('asks once, and tells the snapshot and every change after it', async () => {
    const { peer, asked, events } = await follow(connect());
    expect(peer.url).toBe('/ws');
    expect(asked).toEqual({ type: 'subscribe', id: expect.anything(), ...SINCE, snapshot: 3 });
    peer.send(change(candle(5, 6)), change(candle(10, 7)));
    await waitFor(() => events.length === 3);
    expect(events).toEqual([snapshot([candle(0, 2), candle(5, 5)], 5), change(candle(5, 6)), change(candle(10, 7))]);
  });

  test('drops what it knows already', async () => {
    const { peer, events } = await follow(connect());
    peer.send(
      change(candle(5, 5)),
      change(candle(0, 4)),
      change(candle(5, 6)),
      change(candle(5, 6)),
      change(candle(0, 8)),
    );
    await waitFor(() => events.length === 3);
    expect(seqs(events)).toEqual(['snapshot 5', 'candle 6', 'candle 8']);
  });

  test('without history it still learns from where on nothing is missing', async () => {
    const { asked, events } = await follow(connect(), 0);
    expect(asked).toMatchObject({ snapshot: 1 });
    expect(events).toEqual([snapshot([], 5)]);
  });

  test('names many series in few messages', async () => {
    const symbols = Array.from({ length: 600 }, (_, i) => `S${i}`);
    connect().follow({ symbols, intervals: ['1m', '1d'], history: 200 }, {});
    const peer = await server.peer();
    const messages = [await peer.next(), await peer.next(), await peer.next(), await peer.next()];
    expect(messages.map(({ symbols, intervals }) => [(symbols as string[]).length, intervals])).toEqual([
      [500, ['1m']],
      [500, ['1d']],
      [100, ['1m']],
      [100, ['1d']],
    ]);
    for (const message of messages) expect(JSON.stringify(message).length).toBeLessThan(16_384);
  });

  test('a second follower of a live series begins with a page over HTTP, and misses nothing meanwhile', async () => {
    const client = connect();
    const { peer, events } = await follow(client);
    let answerPage = () => {};
    server.answer = (_req, res) => {
      const page = { symbol: 'AAPL', interval: '5m', epoch: EPOCH, seq: 7, candles: [candle(0, 6), candle(5, 7)] };
      answerPage = () => res.end(JSON.stringify({ ...page, next_cursor: null }));
    };
    const second = recorder();
    client.follow({ symbols: 'AAPL', intervals: '5m', history: 1 }, second.handlers);
    await waitFor(() => server.requests.length === 1);
    expect(server.requests).toEqual(['GET /api/candles/AAPL?interval=5m&limit=1']);
    peer.send(change(candle(0, 6)), change(candle(5, 7)), change(candle(10, 8)));
    await waitFor(() => events.length === 4);
    expect(second.events).toEqual([]);
    answerPage();
    await waitFor(() => second.events.length === 2);
    expect(second.events).toEqual([snapshot([candle(5, 7)], 7), change(candle(10, 8))]);
    peer.send(change(candle(10, 9)));
    await waitFor(() => second.events.length === 3);
    expect(peer.received).toHaveLength(1);
    expect(server.peers).toHaveLength(1);
  });

  test('a follower that comes while another one joins shares its snapshot', async () => {
    const client = connect();
    const [first, second] = [recorder(), recorder()];
    client.follow({ symbols: 'AAPL', intervals: '5m', history: 2 }, first.handlers);
    const peer = await server.peer();
    await peer.acknowledge();
    client.follow({ symbols: 'AAPL', intervals: '5m', history: 1 }, second.handlers);
    peer.send(snapshot([candle(0, 2), candle(5, 5)], 5));
    await waitFor(() => second.events.length === 1);
    expect(first.events).toEqual([snapshot([candle(0, 2), candle(5, 5)], 5)]);
    expect(second.events).toEqual([snapshot([candle(5, 5)], 5)]);
    expect(server.requests).toEqual([]);
  });
});

describe('leaving', () => {
  test('the last follower unsubscribes, and who comes then waits for the acknowledgement', async () => {
    const client = connect();
    const { peer, subscription, events } = await follow(client);
    subscription.close();
    subscription.close();
    expect(await peer.next()).toEqual({ type: 'unsubscribe', id: expect.anything(), ...SINCE });
    const later = recorder();
    client.follow({ symbols: 'AAPL', intervals: '5m', history: 2 }, later.handlers);
    // Of the time before: nobody's.
    peer.send(change(candle(5, 6)), snapshot([candle(5, 6)], 6));
    peer.send({ type: 'unsubscribed', id: peer.received.at(-1)!.id, channel: 'candles', symbols: [], intervals: [] });
    expect(await peer.acknowledge()).toMatchObject({ type: 'subscribe', snapshot: 2 });
    peer.send(snapshot([candle(5, 7)], 7));
    await waitFor(() => later.events.length === 1);
    expect(seqs(later.events)).toEqual(['snapshot 7']);
    expect(seqs(events)).toEqual(['snapshot 5']);
  });

  test('an earlier follower of two leaves the other one its series', async () => {
    const client = connect();
    const { peer, events } = await follow(client);
    server.answer = (_req, res) => res.writeHead(404).end('{"error":{"code":"unknown_symbol","message":"never seen"}}');
    const second = recorder();
    const subscription = client.follow({ symbols: 'AAPL', intervals: '5m' }, second.handlers);
    await waitFor(() => second.events.length === 1);
    subscription.close();
    peer.send(change(candle(5, 6)));
    await waitFor(() => events.length === 2);
    expect(second.events).toHaveLength(1);
    expect(peer.received).toHaveLength(1);
  });
});

test('the key is the first message, and in no URL', async () => {
  const client = connect({ apiKey: 'k1' });
  client.follow({ symbols: 'AAPL' }, {});
  const peer = await server.peer();
  expect(await peer.next()).toEqual({ type: 'auth', api_key: 'k1' });
  expect(await peer.next()).toMatchObject({ type: 'subscribe' });
  expect(peer.url).toBe('/ws');
});

test('a handler that throws disturbs nobody else, and its error is not lost', async () => {
  const client = connect();
  const { peer, events } = await follow(client);
  const heard = jest.fn(() => {
    throw new Error('mine');
  });
  client.followPrices('AAPL', { price: heard });
  await peer.acknowledge();
  const lost: unknown[] = [];
  const uncaught = jest.spyOn(globalThis, 'queueMicrotask').mockImplementation((act) => {
    try {
      act();
    } catch (err) {
      lost.push(err);
    }
  });
  try {
    peer.send({ type: 'price_update', symbol: 'AAPL' }, change(candle(5, 6)));
    await waitFor(() => events.length === 2);
    expect(heard).toHaveBeenCalledTimes(1);
    expect(lost).toEqual([new Error('mine')]);
  } finally {
    uncaught.mockRestore();
  }
});

test('a thousand clients are cheap', async () => {
  const many = Array.from({ length: 1_000 }, () => connect());
  expect(server.peers).toEqual([]);
  for (const client of many) client.follow({ symbols: 'AAPL', intervals: '5m' }, {});
  await waitFor(() => server.peers.length === 1_000);
  for (const client of many) client.close();
  await waitFor(() => server.peers.every(({ isClosed }) => isClosed));
});
