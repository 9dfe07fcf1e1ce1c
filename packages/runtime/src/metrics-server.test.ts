import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from './config';
import { silentLogger } from './logger';
import { createMetrics } from './metrics';
import { type MetricsServer, type MetricsServerOptions, serveMetrics } from './metrics-server';

const metrics = createMetrics({ ofProcess: false });
metrics.gauge('t_held', 'Held', () => 3);

const options: MetricsServerOptions = {
  host: '127.0.0.1',
  port: 0,
  metrics,
  service: 'aggregator',
  logger: silentLogger,
};

const servers: MetricsServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

async function served(over: Partial<MetricsServerOptions> = {}): Promise<string> {
  const server = await serveMetrics({ ...options, ...over });
  servers.push(server);
  return `http://127.0.0.1:${server.port}`;
}

test('/metrics tells them as Prometheus reads them', async () => {
  const response = await fetch(`${await served()}/metrics?name[]=any`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await response.text()).toBe(
    '# HELP candlewire_t_held Held\n# TYPE candlewire_t_held gauge\ncandlewire_t_held 3\n',
  );
});

test('/health says that the process lives', async () => {
  const response = await fetch(`${await served()}/health`);
  expect(await response.json()).toEqual({ status: 'ok', service: 'aggregator', uptime_s: expect.any(Number) });
});

test('errors are told like those of a gateway', async () => {
  const origin = await served({
    metrics: { ...metrics, text: () => Promise.reject(new Error('secret')) },
  });
  const answers = await Promise.all([
    fetch(`${origin}/nothing`),
    fetch(`${origin}/metrics`, { method: 'POST' }),
    fetch(`${origin}/metrics`),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([404, 405, 500]);
  expect(answers[1]!.headers.get('allow')).toBe('GET, HEAD');
  const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { error: { code: string } }[];
  expect(bodies.map(({ error }) => error.code)).toEqual(['not_found', 'method_not_allowed', 'internal']);
  expect(JSON.stringify(bodies)).not.toContain('secret');
});

test('a port in use and an address of others are named', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const inUse = serveMetrics({ ...options, port });
  await expect(inUse).rejects.toBeInstanceOf(ConfigError);
  await expect(inUse).rejects.toMatchObject({ problems: [`METRICS_PORT: ${port} is in use on 127.0.0.1`] });
  taken.close();
  const foreign = serveMetrics({ ...options, host: '192.0.2.1' });
  await expect(foreign).rejects.toMatchObject({ problems: [expect.stringMatching(/^METRICS_HOST: 192\.0\.2\.1 /)] });
});

test('closing does not wait for a connection that is kept open', async () => {
  const origin = await served();
  await (await fetch(`${origin}/health`)).text();
  await servers.splice(0)[0]!.close();
  await expect(fetch(`${origin}/health`)).rejects.toThrow();
});
