import { BusUnavailable, type Message } from '@candlewire/bus';
import { channelsOf, decodeTicks, partitionOf, type Tick } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { type ManualTime, manualTime } from './manual-time.suite';
import { relayTicks } from './tick-relay';

const channels = channelsOf('test');
const [ONE, TWO] = ['AAPL', 'MSFT'] as const;
const tick = (symbol: string, price: number, time = price): Tick => ({ symbol, price, time, volume: 1 });

let time: ManualTime;
let stop: AbortController;
let relaying: Promise<void>;
let inbox: (Tick | Error)[];
/** What was published at once. */
let published: (readonly Message[])[];
let away: boolean;
let starts: number;

async function* ticks(signal: AbortSignal): AsyncGenerator<Tick> {
  starts++;
  while (!signal.aborted) {
    const next = inbox.shift();
    if (next instanceof Error) throw next;
    if (next === undefined) await new Promise(setImmediate);
    else yield next;
  }
}

beforeEach(() => {
  time = manualTime();
  stop = new AbortController();
  inbox = [];
  published = [];
  away = false;
  starts = 0;
  const bus = {
    publish: async (messages: readonly Message[]) => {
      if (away) throw new BusUnavailable('away');
      published.push(messages);
    },
  };
  relaying = relayTicks({ ticks, bus, channels, time, logger: silentLogger }, stop.signal);
});

afterEach(async () => {
  stop.abort();
  await relaying;
});

const taken = () => waitFor(() => inbox.length === 0);
const told = () => published.map((messages) => messages.flatMap(({ text }) => decodeTicks(text)));

test('the first tick goes out at once, then the newest of each symbol every quarter of a second', async () => {
  inbox.push(tick(ONE, 1));
  await waitFor(() => published.length === 1);
  inbox.push(tick(ONE, 2), tick(TWO, 3), tick(ONE, 4), tick(ONE, 3));
  await taken();
  time.advance(249);
  await new Promise(setImmediate);
  expect(published).toHaveLength(1);
  time.advance(1);
  await waitFor(() => published.length === 2);
  expect(told()).toEqual([[tick(ONE, 1)], [tick(ONE, 4), tick(TWO, 3)]]);
  expect(published[1]!.map(({ channel }) => channel)).toEqual([
    channels.ticks(partitionOf(ONE)),
    channels.ticks(partitionOf(TWO)),
  ]);
});

test('what cannot be published is dropped', async () => {
  away = true;
  inbox.push(tick(ONE, 1));
  await taken();
  await new Promise(setImmediate);
  away = false;
  inbox.push(tick(ONE, 2));
  await waitFor(() => {
    time.advance(250);
    return published.length > 0;
  });
  expect(told()).toEqual([[tick(ONE, 2)]]);
});

test('a stream that breaks is asked for again', async () => {
  inbox.push(new Error('broken'), tick(ONE, 1));
  await waitFor(() => published.length === 1);
  expect(starts).toBe(2);
});
