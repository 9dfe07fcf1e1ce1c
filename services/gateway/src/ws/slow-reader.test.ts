import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net';
import { createInProcessBus } from '@candlewire/bus';
import { channelsOf } from '@candlewire/contracts';
import { parseConfig, silentLogger } from '@candlewire/runtime';
import { createApiKeys } from '../admission/api-keys';
import type { Reads } from '../bound-store';
import { wsConfig } from '../config';
import { stopClocks } from '../rig.suite';
import { wsLimits } from './limits';
import { createWsServer } from './server';
import { openClient } from './test-client.suite';

/** In all far more than the system's own buffers take. */
const SERIES = 80;
const SNAPSHOT_BYTES = 350_000;
const STALL_MS = 1_000;
/** No snapshot is read in the time for which a client may stand still. */
const READ_BYTES_PER_S = 80_000;
const READ_BYTES = 250_000;
const STEP_MS = 20;
/** In which what is on its way arrives. */
const TURNS = 8;
const PATIENCE_MS = 60_000;

const closing: (() => unknown)[] = [];
/** Reading and its judgement go by the same time, so that neither is late for the other. */
beforeEach(() => stopClocks('performance', 'setInterval', 'clearInterval'));
afterEach(async () => {
  jest.useRealTimers();
  for (const close of closing.splice(0).reverse()) await close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A server whose every snapshot is large. */
async function startServer() {
  const bus = createInProcessBus({ logger: silentLogger }).connect();
  const candlesJson = JSON.stringify('x'.repeat(SNAPSHOT_BYTES));
  const store = {
    candles: async () => ({ epoch: 'e', seq: 1, candlesJson, count: 1, next: null, horizon: null }),
    symbols: async () => [],
  } as unknown as Reads;
  const sockets = createWsServer({
    bus,
    store,
    channels: channelsOf(),
    feed: { onStatus: () => {} },
    now: Date.now,
    corsOrigins: '*',
    apiKeys: createApiKeys([]),
    addressOf: () => 'one',
    limits: { ...wsLimits(parseConfig(wsConfig, {})), stallMs: STALL_MS },
    logger: silentLogger,
  });
  const node = createServer();
  sockets.attach(node);
  const port = await listen(node);
  closing.push(
    () => bus.close(),
    () => node.close(),
    () => sockets.close(),
  );
  return { counters: sockets.counters, port };
}

/** A way to `port` that takes so much a second of what comes from there, evenly. */
async function slowWayTo(port: number) {
  const way = { origin: '', bytesPerS: READ_BYTES_PER_S, passedBytes: 0 };
  const server = createTcpServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far);
    // Without delay: the system's own clock goes on.
    for (const each of [near, far]) each.setNoDelay(true).on('error', () => {});
    // Read bit by bit.
    far.on('readable', () => {});
    let at = performance.now();
    const passing = setInterval(() => {
      const now = performance.now();
      const due = Math.round(((now - at) / 1_000) * way.bytesPerS);
      at = now;
      const some = far.read(Math.min(due, far.readableLength)) as Buffer | null;
      if (some === null) return;
      way.passedBytes += some.length;
      near.write(some);
    }, STEP_MS);
    closing.push(() => {
      clearInterval(passing);
      near.destroy();
      far.destroy();
    });
  });
  way.origin = `http://127.0.0.1:${await listen(server)}`;
  closing.push(() => server.close());
  return way;
}

/** Lets time pass until then. */
async function passUntil(isOver: () => boolean): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; !isOver() && performance.now() < until; ) {
    jest.advanceTimersByTime(STEP_MS);
    for (let turn = 0; turn < TURNS; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  expect(isOver()).toBe(true);
}

test('who reads what it asked for slowly, but without a pause, stays; who stops reading is closed', async () => {
  const { counters, port } = await startServer();
  const way = await slowWayTo(port);
  const client = openClient(way.origin, '/ws');
  await passUntil(() => client.ws.readyState === client.ws.OPEN);
  const symbols = Array.from({ length: SERIES }, (_, i) => `S${i}`);
  client.say({ type: 'subscribe', channel: 'candles', symbols, snapshot: 1_000 });
  await passUntil(() => counters.slowCloses > 0 || way.passedBytes >= READ_BYTES);
  expect(counters.slowCloses).toBe(0);

  way.bytesPerS = 0;
  const stopped = performance.now();
  await passUntil(() => counters.slowCloses > 0);
  expect(performance.now() - stopped).toBeLessThan(2 * STALL_MS);
});
