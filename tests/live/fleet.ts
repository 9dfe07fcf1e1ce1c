import { freePort, type SpawnedService } from '@candlewire/testkit';
import { killed, PATIENCE_MS, type Pipeline } from '../pipeline/harness';

/** Everything here comes from one address. */
const MANY = { WS_MAX_PER_IP: '100000', HTTP_MAX_PER_S: '100000' };

/** A gateway as a process, which comes back at its address. */
export interface LiveGateway {
  readonly port: number;
  readonly origin: string;
  /** The process that runs now, or ran last. */
  readonly service: SpawnedService;
  /** kill -9; resolves when it has ended. */
  kill(): Promise<void>;
  /** Runs it again, after it has ended; resolves when it answers. */
  start(): Promise<void>;
  /** Sum of the samples of `candlewire_gateway_{name}`. */
  metric(name: string): Promise<number>;
}

/** A gateway on a port of its own; it does not outlive the pipeline. */
export async function startGateway(
  pipeline: Pipeline,
  env: Readonly<Record<string, string>> = {},
): Promise<LiveGateway> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  let service: SpawnedService;
  const gateway: LiveGateway = {
    port,
    origin,
    get service() {
      return service;
    },
    kill: () => killed(service),
    async start() {
      service = pipeline.spawn('gateway', { PORT: String(port), ...MANY, ...env });
      await service.up(async () => (await fetch(`${origin}/health`)).ok, PATIENCE_MS);
    },
    async metric(name) {
      const text = await (await fetch(`${origin}/metrics`)).text();
      const samples = text.matchAll(new RegExp(`^candlewire_gateway_${name}(?:\\{.*\\})? (\\S+)$`, 'gm'));
      return [...samples].reduce((sum, [, value]) => sum + Number(value), 0);
    },
  };
  await gateway.start();
  return gateway;
}
