import { type Encoding, encodeRequest, readFrame, type StreamMessage } from '@candlewire/alpaca';
import { WebSocket } from 'ws';
import { MONDAY_OPEN } from '../bars';
import { waitFor } from '../wait-for';
import { manualClock } from './clock';
import { FAKE_KEY, FAKE_SECRET, type FakeAlpaca, type FakeAlpacaOptions } from './fake-alpaca';
import { startFakeAlpaca } from './server';

/** Behind all that is told of the minutes before the open. */
export const START = MONDAY_OPEN + 31_000;

/** A client without any mind of its own, and what it was sent. */
export interface RawClient {
  readonly socket: WebSocket;
  readonly messages: readonly StreamMessage[];
  /** How many messages each frame held, and how many elements could not be read. */
  readonly frames: readonly number[];
  readonly unreadable: number;
  readonly pongs: number;
  closeCode: number | null;
  send(request: object): void;
  /** Waits until so many messages have come. */
  received(count: number): Promise<readonly StreamMessage[]>;
  closed(): Promise<number>;
}

/** Fakes and clients of one suite; `afterEach(rig.end)`. */
export function alpacaRig() {
  const fakes: FakeAlpaca[] = [];
  const sockets: WebSocket[] = [];
  return {
    /** A fake whose clock stands at START until it is moved. */
    async start(options: Partial<FakeAlpacaOptions> = {}): Promise<FakeAlpaca> {
      const fake = await startFakeAlpaca({ clock: manualClock(START), ...options });
      fakes.push(fake);
      return fake;
    },
    connect(url: string, encoding: Encoding = 'json', headers: Readonly<Record<string, string>> = {}): RawClient {
      const contentType = encoding === 'msgpack' ? { 'Content-Type': 'application/msgpack' } : {};
      const socket = new WebSocket(url, { headers: { ...contentType, ...headers }, perMessageDeflate: false });
      sockets.push(socket);
      return rawClient(socket, encoding);
    },
    /** One that is authenticated and has subscribed. */
    async subscriber(fake: FakeAlpaca, channels: object, encoding: Encoding = 'json'): Promise<RawClient> {
      const client = this.connect(fake.streamUrl(), encoding);
      await client.received(1);
      client.send({ action: 'auth', key: FAKE_KEY, secret: FAKE_SECRET });
      await client.received(2);
      client.send({ action: 'subscribe', ...channels });
      await client.received(3);
      return client;
    },
    async end(): Promise<void> {
      for (const socket of sockets.splice(0)) socket.terminate();
      for (const fake of fakes.splice(0)) await fake.close();
    },
  };
}

function rawClient(socket: WebSocket, encoding: Encoding): RawClient {
  const messages: StreamMessage[] = [];
  const frames: number[] = [];
  const client = {
    socket,
    messages,
    frames,
    unreadable: 0,
    pongs: 0,
    closeCode: null as number | null,
    send: (request: object) => socket.send(encodeRequest(encoding, request)),
    async received(count: number) {
      await waitFor(() => messages.length >= count, { what: `${count} messages, not ${messages.length}` });
      return messages;
    },
    async closed() {
      await waitFor(() => client.closeCode !== null, { what: 'the end of the connection' });
      return client.closeCode!;
    },
  };
  socket.on('error', () => {});
  socket.on('pong', () => client.pongs++);
  socket.on('close', (code) => {
    client.closeCode = code;
  });
  socket.on('message', (data, isBinary) => {
    const frame = readFrame(isBinary ? (data as Buffer) : String(data));
    messages.push(...frame.messages);
    frames.push(frame.messages.length);
    client.unreadable += frame.unreadable;
  });
  return client;
}
