import { connect, createServer, type Socket } from 'node:net';

/** Stands between a service and its server, so that a test can choose the moment in which the two lose each other. */
export interface TcpProxy {
  /** `url` with this proxy's address instead of the server's. */
  through(url: string): string;
  /** From now on a connection whose client sends something that `matches` gets no further: that and all after it is held back. */
  holdFrom(matches: (chunk: Buffer) => boolean): void;
  /** Connections that are held back. */
  readonly held: number;
  /** Sends on what was held back, of those connections that are still there; resolves when each has got something back, or ended. */
  release(): Promise<void>;
  close(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  held: Buffer[] | null;
}

/** A proxy to the server at `url`, on a free port of 127.0.0.1. */
export async function startProxy(url: string): Promise<TcpProxy> {
  const target = new URL(url);
  let matches: ((chunk: Buffer) => boolean) | null = null;
  const links = new Set<Link>();

  const listener = createServer((client) => {
    const server = connect({ host: target.hostname, port: Number(target.port) });
    const link: Link = { client, server, held: null };
    links.add(link);
    client.on('data', (chunk) => {
      if (link.held !== null) link.held.push(chunk);
      else if (matches?.(chunk)) link.held = [chunk];
      else server.write(chunk);
    });
    server.on('data', (chunk) => client.write(chunk));
    client.on('close', () => {
      links.delete(link);
      // What was held back dies with its sender.
      if (link.held === null) server.end();
      else server.destroy();
    });
    server.on('close', () => client.destroy());
    // Either end's error is the end of both, which 'close' sees to.
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', () => {});
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };

  return {
    through(address) {
      const proxied = new URL(address);
      proxied.hostname = '127.0.0.1';
      proxied.port = String(port);
      return proxied.href;
    },
    holdFrom(condition) {
      matches = condition;
    },
    get held() {
      return [...links].filter(({ held }) => held !== null).length;
    },
    async release() {
      matches = null;
      const answers = [...links].map(async (link) => {
        const { server, held } = link;
        if (held === null) return;
        link.held = null;
        const answered = new Promise((resolve) => server.once('data', resolve).once('close', resolve));
        for (const chunk of held) server.write(chunk);
        await answered;
      });
      await Promise.all(answers);
    },
    async close() {
      for (const { client, server } of links) for (const socket of [client, server]) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
