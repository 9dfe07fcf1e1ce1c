import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import {
  boundedLog,
  type Logger,
  type Metrics,
  type Phase,
  parseConfig,
  pause,
  silentMetrics,
} from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { admitHttp } from './admission/admit-http';
import { createApiKeys } from './admission/api-keys';
import { createAddressOf, trustOf } from './admission/caller-address';
import { boundStore, type Reads, type Writes } from './bound-store';
import { type CorsOrigins, httpConfig, wsConfig } from './config';
import { createFeedWatch } from './health/feed-watch';
import { type Calendars, createReadiness, type Readiness } from './health/readiness';
import { backfillsRoute } from './http/backfills-route';
import { createCandlePages } from './http/candle-pages';
import { candlesRoute } from './http/candles-route';
import { cors } from './http/cors';
import { errorHandler, notFound } from './http/errors';
import { gapsRoute } from './http/gaps-route';
import { healthRoutes } from './http/health-route';
import { historyRoute } from './http/history-route';
import { pageRoute } from './http/page';
import { refuseRepeated } from './http/params';
import { rebuildsRoute } from './http/rebuilds-route';
import { createHttpServer } from './http/server';
import { symbolsRoute } from './http/symbols-route';
import { tellFeed } from './metrics/feed-metrics';
import { measureHttp } from './metrics/http-metrics';
import { tellLive } from './metrics/live-metrics';
import { metricsRoute } from './metrics/metrics-route';
import { type WsLimits, wsLimits } from './ws/limits';
import { createWsServer } from './ws/server';

/** Requests that are not answered by then are cut off at shutdown. Longer than any of them may take. */
const DRAIN_MS = 10_000;
/** Where there are clients of WebSockets, the gateway is seen unready for so long before it sends them away. */
const NOTICE_MS = 1_000;
/** What clients who are sent away may take to answer, besides the time over which they are. */
const LEAVE_MS = 7_000;
/** Connections of HTTP, besides those of WebSockets. More are closed as they come. */
const HTTP_CONNECTIONS_MAX = 10_000;

export interface GatewayDeps {
  readonly store: Pick<Store, keyof Reads | keyof Writes | 'ping' | 'identity' | 'owned'>;
  readonly bus: Pick<Bus, 'kind' | 'ping' | 'publish' | 'subscribe' | 'relay' | 'kept' | 'onReconnect' | 'demand'>;
  readonly channels: Channels;
  readonly calendars: Calendars;
  readonly corsOrigins: CorsOrigins;
  /** None: nobody is asked for one. */
  readonly apiKeys?: readonly string[];
  /** Proxies whose X-Forwarded-For counts: addresses, ranges, or names of ranges. */
  readonly trustProxy?: readonly string[];
  /** Calls a second of one caller. The default of the configuration where it is left out, as with `limits`. */
  readonly httpMaxPerS?: number;
  /** The defaults of the configuration where they are left out. */
  readonly limits?: WsLimits;
  readonly logger: Logger;
  /** Default: none are told. */
  readonly metrics?: Metrics;
  /** Wall clock, epoch ms. */
  readonly now?: () => number;
}

/** What clients see of the system: HTTP and WebSockets. Holds no state that another replica would not come to as well. */
export interface Gateway {
  readonly app: Express;
  /**
   * Begins to follow the feed and to answer; neither waits for Postgres or Redis.
   * @returns the port
   * @throws ConfigError where the address cannot be had
   */
  start(port: number, host: string): Promise<number>;
  /** Going down, in this order. What the gateway was given is not closed. */
  readonly shutdown: readonly Phase[];
}

export function createGateway(deps: GatewayDeps): Gateway {
  const { bus, channels, logger, metrics = silentMetrics, now = Date.now } = deps;
  const feed = createFeedWatch(bus, channels.feedStatus, logger);
  const readiness = createReadiness({ ...deps, feed, now });
  const store = boundStore(deps.store, logger);
  const limits = deps.limits ?? wsLimits(parseConfig(wsConfig, {}));
  const apiKeys = createApiKeys(deps.apiKeys ?? []);
  const trust = trustOf(deps.trustProxy ?? []);
  const addressOf = createAddressOf(trust);
  const maxPerS = deps.httpMaxPerS ?? parseConfig(httpConfig, {}).HTTP_MAX_PER_S;
  const app = createApp(deps, store, readiness, admitHttp({ apiKeys, addressOf, maxPerS }));
  app.set('trust proxy', trust);
  const server = createHttpServer(app, { connectionsMax: HTTP_CONNECTIONS_MAX + limits.connectionsMax });
  const sockets = createWsServer({ ...deps, store, feed, now, limits, apiKeys, addressOf });
  sockets.attach(server.node);
  tellFeed(metrics, feed, now);
  tellLive(metrics, sockets.counters);
  return {
    app,
    async start(port, host) {
      const bound = await server.listen(port, host);
      feed.start();
      return bound;
    },
    shutdown: [
      {
        name: 'gateway: unready',
        async run() {
          readiness.leave();
          // So that a balancer that asks /ready sends nobody here. Where nobody is to be sent away, nobody waits.
          if (sockets.size > 0) await pause(Math.min(NOTICE_MS, limits.drainMs));
          sockets.refuseNew();
        },
      },
      { name: 'gateway: stop accepting', run: () => server.stopAccepting() },
      {
        name: 'gateway: send websocket clients away',
        run: () => sockets.leave(),
        deadlineMs: limits.drainMs + LEAVE_MS,
      },
      { name: 'gateway: drain', run: () => server.drained(), deadlineMs: DRAIN_MS },
      {
        name: 'gateway: stop following',
        run() {
          server.cut();
          feed.stop();
          sockets.close();
        },
      },
    ],
  };
}

function createApp(
  { bus, channels, calendars, corsOrigins, logger, metrics = silentMetrics, now = Date.now }: GatewayDeps,
  store: Reads & Writes,
  readiness: Readiness,
  admission: readonly RequestHandler[],
): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(measureHttp(metrics));
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      // It speaks plain HTTP: whether a host is to be reached by TLS alone is the business of what stands before it.
      strictTransportSecurity: false,
      xFrameOptions: { action: 'deny' },
    }),
  );
  app.use(cors(corsOrigins));
  // Whatever comes after this is limited, and needs a key unless it is named there.
  app.use(...admission);
  app.use(refuseRepeated);
  app.use(healthRoutes(bus, readiness));
  app.use(metricsRoute(metrics));
  app.use(candlesRoute(createCandlePages(store), calendars.nyse));
  app.use(symbolsRoute({ store, announce: announcer(bus, channels, logger) }));
  app.use(historyRoute(store));
  app.use(rebuildsRoute(store));
  app.use(gapsRoute({ store, calendars, now }));
  app.use(backfillsRoute({ store, calendar: calendars.nyse, now }));
  app.use(pageRoute());
  app.use(notFound);
  app.use(errorHandler(logger));
  return app;
}

/** Who delivers symbols looks from time to time as well: an announcement that is lost costs a moment, and no caller waits for one. */
function announcer(
  bus: Pick<Bus, 'publish' | 'demand'>,
  channels: Channels,
  logger: Logger,
): (symbol: string, active: boolean) => void {
  const logFailure = boundedLog(logger, 'symbol not announced');
  return (symbol, active) => {
    const told = [bus.publish([{ channel: channels.symbols, text: symbol }])];
    if (!active) told.push(bus.demand.drop(symbol));
    Promise.all(told).catch((err: unknown) => logFailure({ symbol, err }));
  };
}
