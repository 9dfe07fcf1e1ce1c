import { type Bus, connectBus } from '@candlewire/bus';
import { createCalendar } from '@candlewire/candles';
import {
  type Channels,
  channelsOf,
  encodeCandleMessageOf,
  type Interval,
  type WireCandle,
} from '@candlewire/contracts';
import { type Logger, parseConfig, runPhases, silentLogger } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import { testRedis, waitFor } from '@candlewire/testkit';
import { type CorsOrigins, wsConfig } from '../config';
import { createGateway, type Gateway } from '../gateway';
import { proxyTo, type TestProxy, type TestStore, testStore, testWriter, type Writer } from '../rig.suite';
import { type WsLimits, wsLimits } from './limits';
import type { TestClient } from './test-client.suite';

/** A gateway with a real store and bus, and what stands beside it in production: a writer and a publisher. */
export interface WsRig {
  readonly db: TestStore;
  readonly writer: Writer;
  /** Of the publisher, and whoever else looks. */
  readonly bus: Bus;
  readonly channels: Channels;
  /** Between the gateways and Redis. */
  readonly redis: TestProxy;
  readonly prefix: string;
  readonly redisUrl: string;
  /** Publishes what the store holds of a series after `seq`, as the aggregator does after a commit. */
  publishAfter(symbol: string, interval: Interval, after: number): Promise<WireCandle[]>;
  /** Waits until the client, which has subscribed to a symbol's prices, hears each: an acknowledgement alone comes before that. */
  hears(client: TestClient, symbol: string): Promise<void>;
  /** Another gateway. */
  gateway(options?: GatewayOptions): Promise<TestGateway>;
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly limits?: Partial<WsLimits>;
  readonly corsOrigins?: CorsOrigins;
  readonly apiKeys?: readonly string[];
  readonly trustProxy?: readonly string[];
  readonly httpMaxPerS?: number;
  readonly logger?: Logger;
  /** Calls of the store that go another way. */
  readonly store?: Partial<Store>;
}

export interface TestGateway {
  readonly origin: string;
  readonly gateway: Gateway;
  stop(): Promise<boolean>;
}

/** Longer than any test takes. */
const SILENCE_MS = 600_000;
const calendar = createCalendar('24x7', '');

export async function wsRig(): Promise<WsRig> {
  const db = await testStore();
  const own = (await testRedis())!;
  const redis = await proxyTo(own.url);
  const bus = await connected(own.url, own.prefix);
  const channels = channelsOf(own.prefix);
  const stops: (() => Promise<unknown>)[] = [];
  return {
    db,
    writer: await testWriter(db.store),
    bus,
    channels,
    redis,
    prefix: own.prefix,
    redisUrl: own.url,
    async publishAfter(symbol, interval, after) {
      const { epoch, changes } = await db.store.changes({ symbol, interval, after, limit: 10_000 });
      const channel = channels.candles(interval, symbol);
      const message = ({ seq, candleJson }: (typeof changes)[number]) => ({
        channel,
        text: encodeCandleMessageOf(symbol, interval, epoch, seq, candleJson),
      });
      await bus.publish(changes.map(message));
      return changes.map(({ candleJson }) => JSON.parse(candleJson) as WireCandle);
    },
    async hears(client, symbol) {
      await waitFor(
        async () => {
          await bus.publish([{ channel: channels.prices(symbol), text: '{"type":"probe"}' }]);
          return client.of('probe').length > 0;
        },
        { what: `prices of ${symbol} are heard` },
      );
    },
    async gateway({ limits = {}, store = {}, ...options } = {}) {
      const gatewayBus = await connected(redis.url, own.prefix);
      const gateway = createGateway({
        store: { ...db.store, ...store },
        bus: gatewayBus,
        channels,
        calendars: { nyse: calendar, '24x7': calendar },
        corsOrigins: '*',
        logger: silentLogger,
        ...options,
        // However long the silence of a busy machine, no heartbeat stands between what a client is told.
        limits: { ...wsLimits(parseConfig(wsConfig, {})), heartbeatMs: SILENCE_MS, ...limits },
      });
      const port = await gateway.start(0, '127.0.0.1');
      let stopped: Promise<boolean> | null = null;
      const stop = () =>
        (stopped ??= runPhases([...gateway.shutdown, { name: 'close', run: () => gatewayBus.close() }], silentLogger));
      stops.push(stop);
      return { origin: `http://127.0.0.1:${port}`, gateway, stop };
    },
    async close() {
      for (const stop of stops) await stop();
      await Promise.all([bus.close(), redis.close()]);
      await own.close();
      await db.drop();
    },
  };
}

/** A bus that is there: what is told while it connects is lost after two seconds. */
async function connected(url: string, prefix: string): Promise<Bus> {
  const bus = connectBus({ url, prefix, logger: silentLogger });
  await waitFor(() => bus.ping(), { what: 'Redis answers' });
  return bus;
}
