import type { Bus } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import type { Logger, Phase } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import express, { type Express } from 'express';
import helmet from 'helmet';
import type { CorsOrigins } from './config';
import { createFeedWatch } from './health/feed-watch';
import { type Calendars, createReadiness, type Readiness } from './health/readiness';
import { createCandlePages } from './http/candle-pages';
import { candlesRoute } from './http/candles-route';
import { cors } from './http/cors';
import { errorHandler, notFound } from './http/errors';
import { healthRoutes } from './http/health-route';
import { refuseRepeated } from './http/params';
import { createHttpServer } from './http/server';
import { symbolsRoute } from './http/symbols-route';
import { boundReads, type Reads } from './reads';

/** Requests that are not answered by then are cut off at shutdown. Longer than any of them may take. */
const DRAIN_MS = 10_000;

export interface GatewayDeps {
  readonly store: Pick<Store, keyof Reads | 'ping' | 'identity' | 'owned'>;
  readonly bus: Pick<Bus, 'kind' | 'ping' | 'subscribe' | 'kept' | 'onReconnect'>;
  readonly channels: Channels;
  readonly calendars: Calendars;
  readonly corsOrigins: CorsOrigins;
  readonly logger: Logger;
  /** Wall clock, epoch ms. */
  readonly now?: () => number;
}

/** The read side of the system over HTTP. Holds no state that another replica would not come to as well. */
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
  const { bus, channels, logger, now = Date.now } = deps;
  const feed = createFeedWatch(bus, channels.feedStatus, logger);
  const readiness = createReadiness({ ...deps, feed, now });
  const app = createApp(deps, readiness);
  const server = createHttpServer(app);
  return {
    app,
    async start(port, host) {
      const bound = await server.listen(port, host);
      feed.start();
      return bound;
    },
    shutdown: [
      { name: 'gateway: unready', run: () => readiness.leave() },
      { name: 'gateway: stop accepting', run: () => server.stopAccepting() },
      { name: 'gateway: drain', run: () => server.drained(), deadlineMs: DRAIN_MS },
      {
        name: 'gateway: stop following',
        run() {
          server.cut();
          feed.stop();
        },
      },
    ],
  };
}

function createApp({ store, bus, calendars, corsOrigins, logger }: GatewayDeps, readiness: Readiness): Express {
  const reads = boundReads(store, logger);
  const app = express();
  app.disable('x-powered-by');
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      // It speaks plain HTTP: whether a host is to be reached by TLS alone is the business of what stands before it.
      strictTransportSecurity: false,
    }),
  );
  app.use(cors(corsOrigins));
  app.use(healthRoutes(bus, readiness));
  app.use('/api', refuseRepeated);
  app.use(candlesRoute(createCandlePages(reads), calendars.nyse));
  app.use(symbolsRoute(reads));
  app.use(notFound);
  app.use(errorHandler(logger));
  return app;
}
