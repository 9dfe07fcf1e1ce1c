import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { type ConnectionFault, waitFor } from '@candlewire/testkit';
import type { OpenStream, StreamHandlers } from './sdk-stream';
import { byMinute, FIRST, faulty, flows, last, nameOf, QUICK, rig, START, started } from './source.suite';
import type { Timings } from './timings';

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

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
