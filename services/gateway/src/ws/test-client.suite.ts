import { waitFor } from '@candlewire/testkit';
import WebSocket from 'ws';

/** A message of the gateway, as a client reads it. */
export type Told = { readonly type: string; readonly [field: string]: unknown };

/** A real client that keeps what it was told. */
export interface TestClient {
  readonly ws: WebSocket;
  readonly told: Told[];
  /** Messages of one type, so far. */
  of(type: string): Told[];
  say(message: unknown): void;
  /** Waits until there are `count` messages of the type, and gives the last of those. */
  heard(type: string, count?: number): Promise<Told>;
  /** Waits for the end of the connection. */
  closed(): Promise<{ code: number; reason: string }>;
  close(): Promise<void>;
}

export function openClient(origin: string, path: string, options: WebSocket.ClientOptions = {}): TestClient {
  const ws = new WebSocket(`${origin.replace('http', 'ws')}${path}`, options);
  const told: Told[] = [];
  let end: { code: number; reason: string } | null = null;
  ws.on('message', (data: Buffer, isBinary: boolean) => {
    told.push(isBinary ? { type: 'binary' } : (JSON.parse(data.toString()) as Told));
  });
  ws.on('close', (code, reason) => {
    end = { code, reason: reason.toString() };
  });
  ws.on('error', () => {});
  const client: TestClient = {
    ws,
    told,
    of: (type) => told.filter((message) => message.type === type),
    say: (message) => ws.send(typeof message === 'string' ? message : JSON.stringify(message)),
    heard: (type, count = 1) =>
      waitFor(() => client.of(type)[count - 1], { what: `${count} messages of type ${type}` }),
    closed: () => waitFor(() => end, { what: 'the connection is closed' }),
    async close() {
      ws.close();
      await client.closed();
    },
  };
  return client;
}

/** A client whose connection is open. */
export async function connectClient(
  origin: string,
  path: string,
  options: WebSocket.ClientOptions = {},
): Promise<TestClient> {
  const client = openClient(origin, path, options);
  await waitFor(() => client.ws.readyState !== client.ws.CONNECTING, { what: 'the connection is open' });
  return client;
}
