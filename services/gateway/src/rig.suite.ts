import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { type Candle, type Interval, MINUTE_MS, partitionOf } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import { MONDAY_OPEN, type TestDatabase, testDatabase } from '@candlewire/testkit';

/** What jest can fake. */
const CLOCKS = [
  ...(['Date', 'hrtime', 'performance', 'nextTick', 'queueMicrotask'] as const),
  ...(['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] as const),
  ...(['requestAnimationFrame', 'cancelAnimationFrame', 'requestIdleCallback', 'cancelIdleCallback'] as const),
];

/**
 * These stand still until the test moves them on, so that a process that was not let run misses no deadline. Everything
 * else goes on, sockets and `waitFor` too.
 */
export function stopClocks(...stopped: readonly (typeof CLOCKS)[number][]): void {
  jest.useFakeTimers({ doNotFake: CLOCKS.filter((clock) => !stopped.includes(clock)) });
}

/** Nobody listens there. */
export const NO_REDIS = 'redis://127.0.0.1:1';

/** A migrated database of its own that was declared as a simulator's, and its store. */
export interface TestStore extends TestDatabase {
  readonly store: Store;
}

export async function testStore(): Promise<TestStore> {
  const { url, drop } = await testDatabase();
  await migrate(url);
  const store = connectStore({ url, logger: silentLogger });
  await store.declare({ source: 'simulator', calendar: '24x7', partitions: 16 });
  return {
    url,
    store,
    async drop() {
      await store.close();
      await drop();
    },
  };
}

export interface Writer {
  /**
   * One commit: candles of these minutes (from {@link MONDAY_OPEN}) of the series with these closes, each a change of its own.
   * @returns the series' seq
   */
  commit(
    symbol: string,
    interval: Interval,
    candles: readonly (readonly [minute: number, close: number])[],
  ): Promise<number>;
}

/** The owner of all partitions of a store, which numbers as the aggregator does. */
export async function testWriter(store: Store): Promise<Writer> {
  const claims = await store.claim('test', 600_000, 16);
  const fences = new Map(claims.map(({ partition, fence }) => [partition, fence]));
  const seqs = new Map<string, number>();
  let entry = 0;
  return {
    async commit(symbol, interval, candles) {
      const series = `${symbol} ${interval}`;
      const seqBefore = seqs.get(series) ?? 0;
      const changed = candles.map(([minute, close], at) =>
        candle(MONDAY_OPEN + minute * MINUTE_MS, close, seqBefore + at + 1),
      );
      const seq = seqBefore + candles.length;
      const partition = partitionOf(symbol);
      const position = { journalId: 'test', entry: ++entry, clock: MONDAY_OPEN };
      const change = { interval, seqBefore, seq, changed, touched: [] };
      const commitNo = await store.commit(partition, fences.get(partition)!, position, [{ symbol, series: [change] }]);
      if (commitNo === null) throw new Error('the test no longer owns the partition');
      seqs.set(series, seq);
      return seq;
    },
  };
}

function candle(openTime: number, close: number, seq: number): Candle {
  return {
    openTime,
    open: close,
    high: close + 0.5,
    low: close - 0.25,
    close,
    volume: 100,
    vwap: close + 0.125,
    tradeCount: null,
    status: 'regular',
    rsi: null,
    avgGain: 0,
    avgLoss: 0,
    avgRange: 0,
    ma40: null,
    ma80: null,
    ma160: null,
    final: false,
    rev: 0,
    revision: 1,
    seq,
  };
}

/** Stands between a program and a server, and can be cut or made to hang. */
export interface TestProxy {
  /** The server's address, by way of the proxy. */
  readonly url: string;
  /** Ends all connections and refuses new ones. */
  cut(): Promise<void>;
  /** Bytes stop flowing in both directions; connections stay, and new ones are taken. */
  hang(): void;
  /** As it was. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

export async function proxyTo(target: string): Promise<TestProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let hanging = false;
  let server: Server | null = null;
  let ownPort = 0;

  function relay(from: Socket, to: Socket): void {
    sockets.add(from);
    from.on('data', (bytes) => to.write(bytes));
    from.on('error', () => {});
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    if (hanging) from.pause();
  }

  async function listen(): Promise<void> {
    const opened = createServer((inner) => {
      const outer = openSocket(Number(port), hostname);
      relay(inner, outer);
      relay(outer, inner);
    });
    await new Promise<void>((resolve) => opened.listen(ownPort, '127.0.0.1', resolve));
    ownPort = (opened.address() as { port: number }).port;
    server = opened;
  }

  async function cut(): Promise<void> {
    const closing = server;
    server = null;
    for (const socket of sockets) socket.destroy();
    if (closing !== null) await new Promise<void>((resolve) => closing.close(() => resolve()));
  }

  await listen();
  const url = new URL(target);
  url.host = `127.0.0.1:${ownPort}`;
  return {
    url: url.href,
    cut,
    hang() {
      hanging = true;
      for (const socket of sockets) socket.pause();
    },
    async heal() {
      hanging = false;
      for (const socket of sockets) socket.resume();
      if (server === null) await listen();
    },
    close: cut,
  };
}
