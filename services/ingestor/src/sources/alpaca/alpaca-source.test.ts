import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { barMessage } from '@candlewire/alpaca';
import { type Bar, HOUR_MS, MINUTE_MS, type Tick } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import {
  type ConnectionFault,
  type ConnectionRecord,
  FAKE_KEY,
  FAKE_SECRET,
  MONDAY_OPEN,
  waitFor,
} from '@candlewire/testkit';
import type { OpenStream, StreamHandlers } from './sdk-stream';
import { QUICK, type Rig, type RigOptions, START, startRig } from './source.suite';
import type { Timings } from './timings';

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The first minute whose bar comes after START. */
const FIRST = MONDAY_OPEN;

let rig: Rig;
afterEach(() => rig.end());

async function started(options: RigOptions = {}): Promise<Rig> {
  rig = await startRig(options);
  return rig;
}

/** Faults of the first connections; all later ones are sound. */
const faulty = (...faults: readonly ConnectionFault[]) => ({
  faults: { connections: (number: number) => faults[number - 1] },
});

const byMinute = (bars: readonly Bar[]) =>
  [...bars].sort((a, b) => a.openTime - b.openTime || a.rev - b.rev || (a.symbol < b.symbol ? -1 : 1));

const nameOf = ({ symbol, openTime, rev }: Bar) => `${symbol} ${openTime} ${rev}`;

/** It is live with all of its symbols, and every bar of the next minutes comes. */
async function flows(): Promise<void> {
  await rig.live();
  const from = Math.floor(rig.fake.now() / MINUTE_MS) * MINUTE_MS;
  const before = rig.bars.length;
  await rig.minutes(3);
  // Updates of the minute before may come as well.
  const bars = rig.bars.slice(before).filter(({ openTime }) => openTime >= from);
  expect(byMinute(bars)).toEqual(byMinute(rig.expected(from)));
  expect(rig.fake.live).toHaveLength(1);
  const channels = { bars: [...rig.symbols].sort(), updatedBars: [...rig.symbols].sort() };
  expect(rig.fake.live[0]!.subscribed).toMatchObject(channels);
}

const last = (): ConnectionRecord => rig.fake.connections.at(-1)!;

describe('a sound connection', () => {
  test('brings every bar and every updated bar, once it said that it is live', async () => {
    await started();
    await flows();
    expect(rig.states).toEqual(['live']);
    const live = rig.deliveries.findIndex(({ state }) => state === 'live');
    expect(rig.deliveries.findIndex(({ bars }) => bars.length > 0)).toBeGreaterThan(live);
    expect(new Set(rig.bars.map(({ rev }) => rev))).toEqual(new Set([0, 1]));
    expect(rig.source.refused).toEqual({});
  });

  test('is one, in msgpack, with one request for all channels', async () => {
    await started();
    await rig.live();
    expect(rig.fake.connections).toHaveLength(1);
    expect(last()).toMatchObject({ encoding: 'msgpack', path: '/v2/iex' });
    expect(last().received.slice(1)).toEqual([
      { action: 'subscribe', bars: ['AAPL', 'MSFT'], updatedBars: ['AAPL', 'MSFT'], trades: ['AAPL', 'MSFT'] },
    ]);
  });

  test('has a clock that never goes back', async () => {
    await started();
    await rig.live();
    await rig.minutes(3);
    await waitFor(() => rig.clock !== null);
    const clocks = rig.deliveries.flatMap(({ clock }) => (clock === null ? [] : [clock]));
    expect(clocks).toEqual([...clocks].sort((a, b) => a - b));
    expect(clocks.length).toBeGreaterThan(3);
  });

  test('follows the symbols, one request at a time, and brings nothing of those that are let go', async () => {
    await started();
    await rig.live();
    rig.symbols = ['MSFT', 'NVDA', 'SPY'];
    await flows();
    rig.symbols = ['SPY'];
    await flows();
    rig.symbols = [];
    await rig.live();
    expect(rig.fake.connections).toHaveLength(1);
    expect(last().subscribed).toEqual({});
  });

  test('with more symbols than there may be has the first, and tells which are left out', async () => {
    await started({ symbols: ['SPY', 'QQQ', 'AAPL'], settings: { symbolsMax: 2 } });
    await rig.live('SPY', 'QQQ');
    expect(rig.source.leftOut!()).toEqual(['AAPL']);
  });

  test('brings trades as ticks, the newest of each symbol with the volume of its minute', async () => {
    await started();
    await rig.live();
    const stop = new AbortController();
    const ticks: Tick[] = [];
    const reading = (async () => {
      for await (const tick of rig.source.ticks!(stop.signal)) ticks.push(tick);
    })();
    // Up to the last moment of a minute.
    rig.fake.advanceTo(FIRST + 2 * MINUTE_MS - 1);
    const trades = rig.fake.market
      .trades('AAPL', FIRST + MINUTE_MS)
      .filter(({ time, reportedAt }) => time === reportedAt);
    const { price, time } = trades.at(-1)!;
    await waitFor(() => ticks.some((tick) => tick.symbol === 'AAPL' && tick.time === time));
    stop.abort();
    await reading;
    const volume = trades.reduce((sum, { size }) => sum + size, 0);
    expect(ticks.findLast(({ symbol }) => symbol === 'AAPL')).toEqual({ symbol: 'AAPL', price, time, volume });
  });

  test('asks for no trades where they are switched off', async () => {
    await started({ settings: { trades: false } });
    await flows();
    expect(last().subscribed).not.toHaveProperty('trades');
    expect(rig.source.ticks).toBeUndefined();
  });

  test('of a delayed feed has a clock that is as late', async () => {
    await started({ settings: { feed: 'delayed_sip' } });
    await rig.live();
    await waitFor(() => rig.clock !== null);
    expect(rig.clock! - START + 15 * MINUTE_MS).toBeGreaterThanOrEqual(0);
    expect(rig.clock! - START + 15 * MINUTE_MS).toBeLessThan(MINUTE_MS);
  });

  test('of the test feed has no history to ask for', async () => {
    await started({ settings: { feed: 'test', streamUrl: 'ws://127.0.0.1:1/' } });
    expect(rig.source.history).toBeUndefined();
  });

  test('never names the key in what it tells or logs', async () => {
    const lines: unknown[] = [];
    const note = (...line: unknown[]) => void lines.push(line);
    const logger = { error: note, warn: note, info: note, debug: note } as unknown as Logger;
    await started({ keys: {}, source: { logger } });
    await waitFor(() => rig.state === 'failed');
    const said = JSON.stringify([lines, rig.deliveries]);
    expect(said).toContain('auth failed');
    expect(said).not.toContain(FAKE_KEY);
    expect(said).not.toContain(FAKE_SECRET);
  });

  test('ends with the reader, and gives its place back', async () => {
    await started();
    await rig.live();
    await rig.end();
    expect(last()).toMatchObject({ closeCode: 1005 });
    expect(rig.source.delivers!()).toEqual([]);
  });
});

describe('bars flow again after', () => {
  test.each<[string, ConnectionFault[], string, Partial<Timings>?]>([
    ['a refused upgrade', [{ upgrade: 429 }, { upgrade: 500 }], 'Unexpected server response: 500'],
    ['an upgrade without an answer', [{ upgrade: 'hang' }], 'Opening handshake has timed out', { handshakeMs: 1_000 }],
    ['a key that is never answered', [{ auth: 'silent' }], 'not authenticated in time', { authMs: 1_500 }],
    ['an auth timeout', [{ auth: { code: 404 } }], 'auth timeout'],
    ['an internal error at the key', [{ auth: { code: 500, close: true } }], 'internal error'],
    ['connection limit exceeded, with the socket left open', [{ auth: { code: 406 } }], 'connection limit exceeded'],
    ['connection limit exceeded and a close', [{ auth: { code: 406, close: true } }], 'connection limit exceeded'],
  ])('%s', async (_, faults, reason, timings = {}) => {
    await started({ ...faulty(...faults), timings });
    await flows();
    const live = rig.deliveries.findIndex(({ state }) => state === 'live');
    const before = rig.deliveries.slice(0, live);
    expect(before.at(-1)).toEqual({ clock: null, bars: [], state: 'connecting', reason });
    expect(before.filter(({ clock }) => clock !== null)).toEqual([]);
    expect(rig.states).toEqual([...before.map(() => 'connecting'), 'live']);
    expect(rig.fake.connections).toHaveLength(faults.length + 1);
  });

  test.each<[string, 402 | 401 | 409, string]>([
    ['a refused key', 402, 'auth failed'],
    ['no authentication', 401, 'not authenticated'],
    ['a plan without the feed', 409, 'insufficient subscription'],
  ])('%s, which is a failure as long as it lasts, without a storm', async (_, code, reason) => {
    await started(faulty({ auth: { code } }, { auth: { code } }));
    await waitFor(() => rig.fake.connections.length === 2 && rig.state === 'failed', { timeoutMs: 20_000 });
    expect(rig.reason).toBe(reason);
    const [first, second] = rig.fake.connections;
    expect(second!.openedAt - first!.openedAt).toBeGreaterThanOrEqual(250);
    await flows();
    expect(rig.states.filter((state) => state === 'live')).toHaveLength(1);
    expect(rig.states.slice(0, 2)).not.toContain('live');
  });

  test.each<[string, ConnectionFault, Partial<Timings>?]>([
    ['a close', { data: [{ afterBars: 3, do: 'close' }] }],
    ['a cut', { data: [{ afterBars: 3, do: 'terminate' }] }],
    ['a server that is restarted', { data: [{ afterBars: 3, do: 'close', code: 1012 }] }],
    ['slow client', { data: [{ afterBars: 3, do: 'error', code: 407, close: true }] }],
    ['an end without pongs', { pong: false }, { pingMs: 1_000, pongMs: 900 }],
  ])('%s', async (_, fault, timings = {}) => {
    await started({ ...faulty(fault), timings });
    await rig.live();
    if (fault.data !== undefined) rig.fake.advanceTo(START + 2 * MINUTE_MS);
    await waitFor(() => rig.states.includes('connecting'), { timeoutMs: 20_000 });
    await flows();
    expect(rig.states).toEqual(['live', 'connecting', 'live']);
    const lost = rig.deliveries.find(({ state }) => state === 'connecting');
    expect(lost!.clock).toBeNull();
  });

  test('server restarts, refusals of all kinds one after the other, and cuts while subscribing', async () => {
    const faults = faulty(
      { upgrade: 503 },
      { data: [{ afterBars: 0, do: 'terminate' }] },
      { auth: { code: 406 } },
      { upgrade: 'hang' },
      { data: [{ afterBars: 0, do: 'close' }] },
    );
    await started({ ...faults, timings: { handshakeMs: 1_000 } });
    // The first of them may be live for a moment before it is cut.
    await waitFor(() => rig.fake.connections.length > 5, {
      timeoutMs: 20_000,
      what: 'a connection behind all of them',
    });
    await flows();
  });

  test('a lost network, of which the server holds the place for a while', async () => {
    await started({ ghostMs: 60_000 });
    await rig.live();
    rig.fake.drop('terminate');
    await waitFor(() => rig.reason === 'connection limit exceeded', { timeoutMs: 20_000 });
    rig.fake.releaseGhosts();
    await flows();
    expect(rig.states.filter((state) => state === 'live')).toHaveLength(2);
  });

  test('silence from the first minute on, while pings are answered and history has bars', async () => {
    await started({ ...faulty({ data: [{ afterBars: 0, do: 'mute' }] }) });
    await rig.live();
    // The first whole minute is asked for.
    rig.fake.advanceTo(FIRST + 2 * MINUTE_MS + QUICK.missedMs);
    await waitFor(() => rig.fake.connections.length > 1);
    await flows();
    expect(rig.states).toEqual(['live', 'connecting', 'live']);
  });

  test('silence in the session of symbols that always had bars, where history cannot be asked', async () => {
    const requests = () => ({ status: 503 }) as const;
    const { connections } = faulty({ data: [{ afterBars: 40, do: 'mute' }] }).faults;
    await started({ faults: { connections, requests } });
    await rig.live();
    await rig.minutes(17);
    let minute = rig.fake.now();
    await waitFor(
      () => {
        // Minute by minute, each once the source has seen the last: more of them at once would be too long a silence.
        if (rig.clock !== null && rig.clock >= minute) {
          minute += MINUTE_MS;
          rig.fake.advanceTo(minute);
        }
        return rig.clock === null && last().sent.b === 40;
      },
      { what: 'the clock to be withheld' },
    );
    expect([rig.state, rig.fake.connections.length]).toEqual(['live', 1]);
    await waitFor(() => {
      rig.fake.advanceTo(rig.fake.now() + 10_000);
      return rig.fake.connections.length > 1;
    });
    await flows();
    expect(rig.states).toEqual(['live', 'connecting', 'live']);
  });
});

describe('a bar that is lost alone', () => {
  const lost = { data: [{ afterBars: 2, do: 'mute', bars: 1 }] } as const;

  /** The second bar of MSFT's does not come. */
  async function lose(): Promise<void> {
    await rig.live();
    rig.fake.advanceTo(FIRST + MINUTE_MS + 31_000);
    await waitFor(() => rig.bars.length >= 2);
    rig.fake.advanceTo(FIRST + 2 * MINUTE_MS + 31_000);
    await waitFor(() => rig.bars.some(({ openTime, rev }) => openTime === FIRST + MINUTE_MS && rev === 0));
    rig.fake.advanceTo(FIRST + 2 * MINUTE_MS + QUICK.missedMs);
  }

  /** Whichever was the next to be sent. */
  const loser = () =>
    rig.symbols.find((name) => !rig.bars.some((bar) => bar.symbol === name && bar.openTime > FIRST && bar.rev === 0))!;

  test('is noticed, and the connection goes on', async () => {
    await started(faulty(lost));
    await lose();
    const missed = await waitFor(() => [...rig.source.takeMissed!()].at(0));
    expect(missed).toEqual([loser(), FIRST + MINUTE_MS]);
    await flows();
    expect(rig.states).toEqual(['live']);
  });

  test('is noticed though the first question was not answered', async () => {
    const { connections } = faulty(lost).faults;
    const requests = ({ number }: { number: number }) => (number === 1 ? ({ status: 503 } as const) : undefined);
    await started({ faults: { connections, requests } });
    await lose();
    const missed = await waitFor(() => {
      rig.fake.advanceTo(rig.fake.now() + QUICK.errorMs);
      return [...rig.source.takeMissed!()].at(0);
    });
    expect(missed).toEqual([loser(), FIRST + MINUTE_MS]);
  });
});

describe('what cannot be used', () => {
  test.each([
    ['bad bytes', 'bad_bytes'],
    ['text', 'other_encoding'],
    ['no array', 'not_an_array'],
    ['an array with a null', 'null_element'],
  ] as const)('%s is counted, and the connection goes on; what may be missing is told', async (_, fault) => {
    await started(faulty({ data: [{ afterBars: 1, do: fault }] }));
    await rig.live();
    rig.fake.advanceTo(START + MINUTE_MS);
    await waitFor(() => rig.states.length === 2);
    expect(rig.states).toEqual(['live', 'live']);
    expect(rig.source.refused).toEqual({ unreadable_frame: 1 });
    await flows();
    expect(rig.fake.connections).toHaveLength(1);
  });

  test.each([
    ['S', 'bad_symbol'],
    ['o', 'missing_field'],
    ['v', 'missing_field'],
    ['t', 'bad_timestamp'],
  ] as const)('a bar without %s is counted as %s', async (field, reason) => {
    await started(faulty({ data: [{ afterBars: 0, do: 'missing_field', field }] }));
    await rig.live();
    rig.fake.advanceTo(START + MINUTE_MS);
    await waitFor(() => rig.source.refused[reason] === 1);
    await flows();
  });

  test('bars twice and out of order are passed on as they come', async () => {
    await started(
      faulty({
        data: [
          { afterBars: 0, do: 'duplicate' },
          { afterBars: 3, do: 'out_of_order' },
        ],
      }),
    );
    await rig.live();
    rig.fake.advanceTo(START + 5 * MINUTE_MS);
    const expected = rig.expected(FIRST);
    await waitFor(() => rig.bars.length === expected.length + 1);
    expect(byMinute(rig.bars).map(nameOf)).toEqual(byMinute([...expected, expected[0]!]).map(nameOf));
    const times = rig.bars.filter(({ symbol, rev }) => symbol === 'MSFT' && rev === 0).map(({ openTime }) => openTime);
    expect(times).not.toEqual([...times].sort((a, b) => a - b));
  });
});

test('what comes of symbols that nobody wants is not passed on', async () => {
  let handlers: StreamHandlers | undefined;
  const open: OpenStream = (_, given) => {
    handlers = given;
    return { ask: () => given.acknowledged({ bars: ['A'], updatedBars: ['A'], trades: ['A'] }), close: given.closed };
  };
  await started({ symbols: ['A'], source: { open } });
  await waitFor(() => handlers !== undefined);
  handlers!.authenticated();
  await rig.live();
  const bar = { open: 1, high: 1, low: 1, close: 1, volume: 1, timestamp: new Date(FIRST) };
  for (const symbol of ['B', 'A', 'C']) handlers!.bar({ ...bar, symbol }, 0);
  await waitFor(() => rig.bars.length > 0);
  expect(rig.bars.map(({ symbol }) => symbol)).toEqual(['A']);
});

test('a wall clock that is set on while an answer is awaited ends no connection', async () => {
  const opened: StreamHandlers[] = [];
  let asked = 0;
  let looks = 0;
  const open: OpenStream = (_, handlers) => {
    opened.push(handlers);
    return { ask: () => void asked++, close: handlers.closed };
  };
  const wanted = ['A'];
  const symbols = () => {
    looks++;
    return wanted;
  };
  await started({ symbols: wanted, source: { open, symbols } });
  const step = async () => {
    rig.fake.advanceTo(rig.fake.now() + HOUR_MS);
    const seen = looks + 2;
    await waitFor(() => looks >= seen);
  };
  await waitFor(() => opened.length > 0);
  await step();
  opened[0]!.authenticated();
  await waitFor(() => asked > 0);
  await step();
  opened[0]!.acknowledged({ bars: wanted, updatedBars: wanted, trades: wanted });
  await rig.live();
  expect(rig.states).toEqual(['live']);
  expect(opened).toHaveLength(1);
});

test('a server that is gone without a word, and never closes either, is left soon', async () => {
  const sockets: Socket[] = [];
  const dead = createServer((req) => req.socket.destroy()).on('upgrade', (req, socket: Socket) => {
    sockets.push(socket.on('error', () => {}));
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}${WEBSOCKET_GUID}`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  });
  await once(dead.listen(0, '127.0.0.1'), 'listening');
  const { port } = dead.address() as AddressInfo;
  // Before the next ping would find out.
  await started({ settings: { streamUrl: `ws://127.0.0.1:${port}/` }, timings: { pingMs: 30_000, authMs: 500 } });
  await waitFor(() => sockets.length === 2);
  expect(rig.state).toBe('connecting');
  for (const socket of sockets) socket.destroy();
  dead.close();
});

describe('a refused subscription', () => {
  test('takes a symbol and not the others, on this connection and the next', async () => {
    await started({ symbols: ['AAPL', 'MSFT', 'NVDA', 'QQQ'], plan: { symbolsMax: 3 } });
    await rig.live('AAPL', 'MSFT', 'NVDA');
    expect(rig.source.leftOut!()).toEqual(['QQQ']);
    rig.fake.drop('close');
    await waitFor(() => rig.fake.connections.length === 2);
    await rig.live('AAPL', 'MSFT', 'NVDA');
    expect(last().received.slice(1)).toHaveLength(1);
    rig.symbols = ['MSFT', 'NVDA', 'QQQ'];
    await flows();
  });

  test('as a whole, a few times, leaves nothing out in the end', async () => {
    await started({ ...faulty({ subscribe: { code: 405, times: 1 } }) });
    await flows();
    expect(rig.source.leftOut!()).toEqual([]);
  });

  test('for a channel that the feed lacks leaves bars alone', async () => {
    await started(faulty({ subscribe: { code: 410, times: 1 } }));
    await flows();
    expect(last().subscribed).not.toHaveProperty('trades');
  });

  test('without an answer ends the connection', async () => {
    await started(faulty({ subscribe: { code: 500 } }));
    await waitFor(() => last()?.received.length > 3);
    expect(rig.state).toBe('connecting');
    rig.fake.drop('close');
    await flows();
  });
});

describe('a burst', () => {
  const MANY = Array.from({ length: 10_000 }, (_, n) => `T${n.toString(36).toUpperCase()}`);
  const burst = (openTime: number) => {
    const bar = { openTime, open: 2, high: 3, low: 1, close: 2, volume: 5, tradeCount: 3, vwap: 2, rev: 0 } as const;
    for (const symbol of MANY) rig.fake.send(barMessage('b', { ...bar, symbol }));
  };
  const options = {
    symbols: MANY,
    settings: { symbolsMax: MANY.length, trades: false },
    plan: { symbolsMax: MANY.length },
  };

  test('of 10,000 bars arrives as a whole, on one connection', async () => {
    await started(options);
    await rig.live();
    burst(FIRST);
    await waitFor(() => rig.bars.length === MANY.length, { timeoutMs: 20_000 });
    expect(new Set(rig.bars.map(({ symbol }) => symbol)).size).toBe(MANY.length);
    expect(rig.deliveries.every(({ bars }) => bars.length <= 4_000)).toBe(true);
    expect([rig.states, rig.fake.connections.length]).toEqual([['live'], 1]);
  });

  test('that nobody takes is held up to a limit, and then the connection is given up until it was taken', async () => {
    await started({ ...options, source: { heldBarsMax: 5_000 } });
    await rig.live();
    rig.away = true;
    burst(FIRST);
    burst(FIRST + MINUTE_MS);
    await waitFor(() => last().closedAt !== null, { timeoutMs: 20_000 });
    rig.away = false;
    await waitFor(() => rig.states.length === 3, { timeoutMs: 20_000 });
    expect(rig.states).toEqual(['live', 'connecting', 'live']);
    expect(rig.bars.length).toBeGreaterThanOrEqual(5_000);
    expect(rig.fake.connections).toHaveLength(2);
  });
});
