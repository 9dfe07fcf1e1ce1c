import { waitFor } from '@candlewire/testkit';
import { type CandleHandlers, CandlewireClient, type ClientOptions } from './client.ts';
import type { CandlewireError } from './errors.ts';
import type { LinkState } from './link.ts';
import { candle, ScriptedServer, snapshot } from './server.suite.ts';
import type { SeriesEvent } from './types.ts';

/** What goes on while the client's time stands still. */
const RUNNING = [
  ...(['hrtime', 'performance', 'nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
  ...(['setInterval', 'clearInterval', 'requestAnimationFrame', 'cancelAnimationFrame'] as const),
  ...(['requestIdleCallback', 'cancelIdleCallback'] as const),
];

/** From now on the client's time goes on when the test says so: a process that was not let run misses nothing. */
export const stopTime = () => jest.useFakeTimers({ doNotFake: [...RUNNING] });

export let server: ScriptedServer;
export const clients: CandlewireClient[] = [];

beforeEach(async () => {
  server = await ScriptedServer.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  jest.useRealTimers();
  await server.stop();
});

export function connect(options: ClientOptions = {}): CandlewireClient {
  const client = new CandlewireClient(server.url, { reconnectMinMs: 10, reconnectMaxMs: 20, ...options });
  clients.push(client);
  return client;
}

/** Everything that the handlers hear, in order. */
export function recorder(): {
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

export const seqs = (events: readonly SeriesEvent[]) =>
  events.map((event) => ('seq' in event ? `${event.type} ${event.seq}` : event.type));

/** Subscribes, and is live after a snapshot with seq 5. */
export async function follow(client: CandlewireClient, history = 3) {
  const heard = recorder();
  const subscription = client.follow({ symbols: 'aapl', intervals: '5m', history }, heard.handlers);
  const peer = await server.peer();
  const asked = await peer.acknowledge();
  peer.send(snapshot([candle(0, 2), candle(5, 5)], 5));
  await waitFor(() => heard.events.length === 1);
  return { ...heard, subscription, peer, asked };
}

export async function take<T>(iterator: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < count) taken.push((await iterator.next()).value);
  return taken;
}

export const SINCE = { channel: 'candles', symbols: ['AAPL'], intervals: ['5m'] };
