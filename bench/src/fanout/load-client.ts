import { randomBytes } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { clientFrame, createFrameReader, type FrameReader, type FrameSink, PING, PONG, TEXT } from './frames';

export type Protocol = 'json' | 'socket.io';

/** Every candle message is longer, everything else that a server sends to a client that has joined is shorter. */
const DATA_BYTES_MIN = 200;
const READ_BYTES = 64 * 1024;
/** One for all: it is read before the next socket may fill it. */
const readBuffer = Buffer.allocUnsafe(READ_BYTES);

const PATHS: Readonly<Record<Protocol, string>> = {
  json: '/ws',
  'socket.io': '/socket.io/?EIO=4&transport=websocket',
};

export interface LoadClient {
  readonly socket: Socket;
  readonly reader: FrameReader;
}

/** Connects and subscribes; resolves when the server has said that it did. */
export function openClient(
  protocol: Protocol,
  port: number,
  symbols: readonly string[],
  sink: Pick<FrameSink, 'counted' | 'traced'>,
): Promise<LoadClient> {
  return new Promise((resolve, reject) => {
    const send = (text: string): void => void socket.write(clientFrame(TEXT, text));
    const joined = (): void => {
      reader.dataBytesMin = DATA_BYTES_MIN;
      resolve({ socket, reader });
    };
    const say = SPOKEN[protocol];
    const reader = createFrameReader({
      ...sink,
      control(opcode, payload) {
        if (opcode === PING) socket.write(clientFrame(PONG, payload));
        if (opcode !== TEXT) return;
        const text = payload.toString();
        const answer = say.answer(text, symbols);
        if (answer !== null) send(answer);
        else if (say.isJoined(text)) joined();
      },
    });
    let head = '';
    function receive(bytes: Buffer): void {
      if (head.endsWith('\r\n\r\n')) {
        reader.feed(bytes);
        return;
      }
      const end = bytes.indexOf('\r\n\r\n');
      head += bytes.subarray(0, end < 0 ? bytes.length : end + 4).toString('latin1');
      if (end < 0) return;
      if (!head.startsWith('HTTP/1.1 101')) reject(new Error(`upgrade refused: ${head}`));
      if (say.first !== null) send(say.first(symbols));
      reader.feed(bytes.subarray(end + 4));
    }
    const callback = (bytes: number): boolean => {
      receive(readBuffer.subarray(0, bytes));
      return true;
    };
    const socket = createConnection({ port, host: '127.0.0.1', onread: { buffer: readBuffer, callback } });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the server closed the connection')));
    const key = randomBytes(16).toString('base64');
    socket.write(
      `GET ${PATHS[protocol]} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
  });
}

/** How a client of each protocol joins, and keeps alive. */
interface Spoken {
  readonly first: ((symbols: readonly string[]) => string) | null;
  answer(text: string, symbols: readonly string[]): string | null;
  isJoined(text: string): boolean;
}

const SPOKEN: Readonly<Record<Protocol, Spoken>> = {
  json: {
    first: (symbols) => JSON.stringify({ type: 'subscribe', channel: 'candles', symbols, intervals: ['1m'] }),
    answer: () => null,
    isJoined: (text) => text.startsWith('{"type":"subscribed"'),
  },
  'socket.io': {
    first: null,
    answer(text, symbols) {
      if (text === '2') return '3';
      if (text.startsWith('0')) return '40';
      return text.startsWith('40') ? `42${JSON.stringify(['subscribe', symbols])}` : null;
    },
    isJoined: (text) => text.startsWith('42["subscribed"'),
  },
};
