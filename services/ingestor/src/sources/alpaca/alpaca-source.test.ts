import { barMessage } from '@candlewire/alpaca';
import { MINUTE_MS, type Tick } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import { FAKE_KEY, FAKE_SECRET, waitFor } from '@candlewire/testkit';
import type { OpenStream, StreamHandlers } from './sdk-stream';
import { FIRST, faulty, flows, last, rig, START, started } from './source.suite';

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
    // What is to be let go flows no more from the moment in which that is asked for.
    await waitFor(() => Object.keys(last().subscribed).length === 0, { what: 'the server has let go of all' });
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
