import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How often each gateway is asked whether it is ready, as balancers do. */
const READY_EVERY_MS = 100;

/** One address for several gateways. */
export interface Balancer {
  readonly origin: string;
  /** Connections now, by port of the gateway that has them. */
  linksOf(port: number): number;
  /** Connections that it ended by {@link cut}. */
  readonly cuts: number;
  /** Ends the connections that `isMeant` picks, without a word to either side. */
  cut(isMeant: () => boolean): void;
  close(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly port: number;
}

/**
 * A TCP balancer: each new connection goes to one of the gateways that say that they are ready, or of all where none does;
 * where it is refused, to the next.
 *
 * @param random from 0 to 1
 */
export async function startBalancer(ports: readonly number[], random: () => number): Promise<Balancer> {
  const links = new Set<Link>();
  const ready = new Set<number>();
  const ended = new AbortController();
  let cuts = 0;

  function candidates(): number[] {
    const some = ready.size > 0 ? [...ready] : [...ports];
    return some
      .map((port) => ({ port, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ port }) => port);
  }

  function lead(client: Socket, [port, ...others]: readonly number[]): void {
    if (port === undefined || client.destroyed) {
      client.destroy();
      return;
    }
    const server = connect({ host: '127.0.0.1', port });
    const refused = (): void => lead(client, others);
    server.once('error', refused);
    server.once('connect', () => {
      server.off('error', refused);
      join(client, server, port);
    });
  }

  function join(client: Socket, server: Socket, port: number): void {
    const link = { client, server, port };
    links.add(link);
    const end = (): void => {
      links.delete(link);
      client.destroy();
      server.destroy();
    };
    // Either end's error is the end of both, which 'close' sees to; what was sent before arrives.
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true).on('error', () => {});
      from.pipe(to);
      from.on('close', end);
    }
    if (client.destroyed) end();
  }

  const listener = createServer((client) => {
    client.on('error', () => {});
    lead(client, candidates());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', 4_096, resolve));

  async function watch(port: number): Promise<void> {
    while (!ended.signal.aborted) {
      const answer = await fetch(`http://127.0.0.1:${port}/ready`, { signal: ended.signal }).catch(() => null);
      await answer?.arrayBuffer().catch(() => null);
      if (answer?.status === 200) ready.add(port);
      else ready.delete(port);
      await sleep(READY_EVERY_MS, undefined, { signal: ended.signal }).catch(() => {});
    }
  }
  const watching = ports.map(watch);

  return {
    origin: `http://127.0.0.1:${(listener.address() as { port: number }).port}`,
    linksOf: (port) => [...links].filter((link) => link.port === port).length,
    get cuts() {
      return cuts;
    },
    cut(isMeant) {
      for (const { client, server } of [...links]) {
        if (!isMeant()) continue;
        cuts++;
        client.destroy();
        server.destroy();
      }
    },
    async close() {
      ended.abort();
      await Promise.all(watching);
      for (const { client, server } of links) for (const socket of [client, server]) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
