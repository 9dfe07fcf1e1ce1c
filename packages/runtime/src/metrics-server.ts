import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApiError } from '@candlewire/contracts';
import { z } from 'zod';
import { ConfigError, whole } from './config';
import { boundedLog, type Logger } from './logger';
import type { Metrics } from './metrics';

/** Who scrapes is known and few: more connections than these are refused. */
const CONNECTIONS_MAX = 64;
const REQUEST_MS = 10_000;
const METHODS = ['GET', 'HEAD'];

/** Of a service that has no port of its own. */
export const metricsConfig = {
  /** Unset: no port is opened. 0: any port that is free. */
  METRICS_PORT: whole(0, 65_535).optional(),
  METRICS_HOST: z.string().default('127.0.0.1'),
};

export interface MetricsServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly metrics: Metrics;
  /** Whose they are; `/health` says it. */
  readonly service: string;
  readonly logger: Logger;
}

export interface MetricsServer {
  /** That it listens on. */
  readonly port: number;
  /** Cuts off whoever is being answered. */
  close(): Promise<void>;
}

/**
 * `/metrics` for Prometheus and `/health` for probes; nobody is asked for a key.
 * @throws ConfigError where the address cannot be had
 */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, metrics, service, logger } = options;
  const logFailure = boundedLog(logger, 'metrics not told');
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS });
  server.maxConnections = CONNECTIONS_MAX;

  async function answer(method: string, path: string, res: ServerResponse): Promise<void> {
    if (path !== '/metrics' && path !== '/health') throw new ApiError('not_found', 'there is nothing at this path');
    if (!METHODS.includes(method)) {
      res.setHeader('Allow', METHODS.join(', '));
      throw new ApiError('method_not_allowed', `only ${METHODS.join(', ')} can be used here`);
    }
    if (path === '/metrics') return send(res, 200, metrics.contentType, await metrics.text());
    const health = { status: 'ok', service, uptime_s: Math.floor(process.uptime()) };
    send(res, 200, JSON_TYPE, JSON.stringify(health));
  }

  server.on('request', (req, res) => {
    const path = (req.url ?? '').split('?', 1)[0]!;
    answer(req.method ?? '', path, res).catch((err: unknown) => {
      const told = err instanceof ApiError ? err : new ApiError('internal', 'something went wrong here; it was logged');
      if (told !== err) logFailure({ err });
      send(res, told.status, JSON_TYPE, JSON.stringify({ error: { code: told.code, message: told.message } }));
    });
  });

  await listen(server, port, host);
  const bound = (server.address() as AddressInfo).port;
  logger.info('metrics are served', { host, port: bound });
  return {
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const JSON_TYPE = 'application/json; charset=utf-8';

function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
  res.end(body);
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((err: NodeJS.ErrnoException) => {
    throw new ConfigError([problemOf(err, port, host)]);
  });
}

function problemOf(err: NodeJS.ErrnoException, port: number, host: string): string {
  switch (err.code) {
    case 'EADDRINUSE':
      return `METRICS_PORT: ${port} is in use on ${host}`;
    case 'EACCES':
      return `METRICS_PORT: ${port} may not be opened by this user`;
    default:
      return `METRICS_HOST: ${host} is no address of this machine (${err.code ?? err.message})`;
  }
}
