import type { Bus } from '@candlewire/bus';
import { channelsOf, encodeCandleMessageOf } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import type { Reads } from '../bound-store';
import type { LiveClient } from './client';
import { LiveCounters } from './counters';
import { createLive, type Live } from './live';

const NAME = { symbol: 'AAPL', interval: '1m' } as const;

let live: Live;
let seq: number;
let looks: number;
let told: string[];
let hear: (bytes: Buffer) => void;
beforeEach(() => {
  jest.useFakeTimers();
  seq = looks = 0;
  told = [];
  const bus = {
    relay: async (_: string, listener: (bytes: Buffer) => void) => {
      hear = listener;
      return async () => {};
    },
    onReconnect() {},
  } as Pick<Bus, 'relay' | 'onReconnect'>;
  const store = {
    candles: async () => ({ epoch: 'e', seq, candlesJson: '', count: 0, next: null, horizon: null }),
    changes: async ({ after }) => ({
      epoch: 'e',
      seq,
      changes: Array.from({ length: seq - after }, (_, i) => ({ seq: after + i + 1, candleJson: '{}' })),
    }),
    heads: async () => {
      looks++;
      return { epoch: 'e', seqs: [seq] };
    },
    latest: async () => [],
  } as Pick<Reads, 'candles' | 'changes' | 'heads' | 'latest'>;
  const counters = new LiveCounters();
  live = createLive({ bus, store, channels: channelsOf(), counters, flushMs: 0, logger: silentLogger });
});
afterEach(() => {
  live.close();
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const client = {
  outbox: { append: (frames: Buffer) => void told.push(frames.toString('latin1')) },
  isSlow: () => false,
  work: { add: (task: { step(): Promise<void> }) => void task.step(), pace: async (tell: () => void) => tell() },
} as unknown as LiveClient;

test.each([0, 0.999_999])('a message that is lost at the worst moment is found within 20 s: %f', async (random) => {
  jest.spyOn(Math, 'random').mockReturnValue(random);
  live.followSeries(client, NAME, 'candle', { from: 'snapshot', rows: 5 });
  while (looks === 0) await jest.advanceTimersByTimeAsync(50);
  seq = 1;
  await jest.advanceTimersByTimeAsync(20_000);
  expect(told.at(-1)).toContain('"seq":1,');
  hear(Buffer.from(encodeCandleMessageOf('AAPL', '1m', 'e', 2, '{}')));
  await jest.advanceTimersByTimeAsync(10);
  expect(told).toHaveLength(3);
});
