import { waitFor } from '@candlewire/testkit';
import { WebSocket } from 'ws';
import { type CandleHandlers, CandlewireClient, type ClientOptions } from './client.ts';
import { CandlewireError } from './errors.ts';
import type { LinkState, WebSocketClass } from './link.ts';
import { candle, change, EPOCH, type Peer, ScriptedServer, snapshot } from './server.suite.ts';
import type { SeriesCandle, SeriesEvent } from './types.ts';

/** What goes on while the client's time stands still. */
const RUNNING = [
  ...(['hrtime', 'performance', 'nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
  ...(['setInterval', 'clearInterval', 'requestAnimationFrame', 'cancelAnimationFrame'] as const),
  ...(['requestIdleCallback', 'cancelIdleCallback'] as const),
];

/** From now on the client's time goes on when the test says so: a process that was not let run misses nothing. */
const stopTime = () => jest.useFakeTimers({ doNotFake: [...RUNNING] });

let server: ScriptedServer;
const clients: CandlewireClient[] = [];

beforeEach(async () => {
  server = await ScriptedServer.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  jest.useRealTimers();
  await server.stop();
});

function connect(options: ClientOptions = {}): CandlewireClient {
  const client = new CandlewireClient(server.url, { reconnectMinMs: 10, reconnectMaxMs: 20, ...options });
  clients.push(client);
  return client;
}

/** Everything that the handlers hear, in order. */
function recorder(): {
  events: SeriesEvent[];
  states: LinkState[];
  errors: CandlewireError[];
  handlers: CandleHandlers;
} {
  const events: SeriesEvent[] = [];
  const states: LinkState[] = [];
  const errors: CandlewireError[] = [];
  const event = (one: SeriesEvent) => void events.push(one);
  const handlers: CandleHandlers = {
    snapshot: event,
    candle: event,
    reset: event,
    skipped: event,
    state: (state) => void states.push(state),
    error: (error) => void errors.push(error),
  };
  return { events, states, errors, handlers };
}

const seqs = (events: readonly SeriesEvent[]) =>
  events.map((event) => ('seq' in event ? `${event.type} ${event.seq}` : event.type));

/** Subscribes, and is live after a snapshot with seq 5. */
async function follow(client: CandlewireClient, history = 3) {
  const heard = recorder();
  const subscription = client.follow({ symbols: 'aapl', intervals: '5m', history }, heard.handlers);
  const peer = await server.peer();
  const asked = await peer.acknowledge();
  peer.send(snapshot([candle(0, 2), candle(5, 5)], 5));
  await waitFor(() => heard.events.length === 1);
  return { ...heard, subscription, peer, asked };
}

async function take<T>(iterator: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < count) taken.push((await iterator.next()).value);
  return taken;
}

const SINCE = { channel: 'candles', symbols: ['AAPL'], intervals: ['5m'] };

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

test('the key is the first message, and in no URL', async () => {
  const client = connect({ apiKey: 'k1' });
  client.follow({ symbols: 'AAPL' }, {});
  const peer = await server.peer();
  expect(await peer.next()).toEqual({ type: 'auth', api_key: 'k1' });
  expect(await peer.next()).toMatchObject({ type: 'subscribe' });
  expect(peer.url).toBe('/ws');
});

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
