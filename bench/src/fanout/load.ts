import { serveCalls } from '../child';
import { nowMs } from './clock';
import { type LoadClient, openClient, type Protocol } from './load-client';

/** Clients that join at a time. */
const JOINS_AT_ONCE = 50;
const ID_KEY = Buffer.from('trade_count');

export interface Arrivals {
  /** When the last delivery that was expected came, {@link nowMs}. */
  readonly lastAtMs: number;
  /** Of each delivery, where that was asked for: the message's id and when it came. */
  readonly ids: Int32Array;
  readonly atMs: Float64Array;
}

/** What the process that plays the clients can be told; each call answers when it is done. */
export interface LoadCalls {
  /** Where the gateway is and what it speaks; comes first. */
  use(order: { protocol: Protocol; port: number }): Promise<void>;
  /** Opens a client for each list of symbols. */
  open(order: { symbols: readonly (readonly string[])[] }): Promise<void>;
  close(): Promise<void>;
  /** From now on deliveries count. */
  expect(order: { deliveries: number; traced: boolean }): Promise<void>;
  /** Resolves when as many as were expected have come. */
  arrived(): Promise<Arrivals>;
  /** So many have come so far. */
  count(): Promise<number>;
  /** Opens so many more clients, whose deliveries are not counted, and which can stop reading. @returns their ports */
  openReaders(order: { symbols: readonly string[]; count: number }): Promise<readonly number[]>;
  stall(): Promise<void>;
  closeReaders(): Promise<void>;
}

let gateway: { protocol: Protocol; port: number };
let clients: LoadClient[] = [];
let readers: LoadClient[] = [];
let expected = Number.POSITIVE_INFINITY;
let delivered = 0;
let ids = new Int32Array(0);
let atMs = new Float64Array(0);
let arrive: (arrivals: Arrivals) => void = () => {};
let arrival: Promise<Arrivals> = Promise.reject(new Error('nothing is expected'));
arrival.catch(() => {});

function counted(): void {
  if (++delivered === expected) arrive({ lastAtMs: nowMs(), ids, atMs });
}

const sink = {
  counted,
  traced(bytes: Buffer, from: number, to: number): void {
    if (delivered < ids.length) {
      ids[delivered] = idIn(bytes, from, to);
      atMs[delivered] = nowMs();
    }
    counted();
  },
};

/** The publisher numbers its messages in the field for trades; what stands between name and number differs. */
function idIn(bytes: Buffer, from: number, to: number): number {
  let at = bytes.indexOf(ID_KEY, from) + ID_KEY.length;
  const isDigit = () => bytes[at]! >= 48 && bytes[at]! <= 57;
  while (at < to && !isDigit()) at++;
  let id = 0;
  for (; at < to && isDigit(); at++) id = id * 10 + bytes[at]! - 48;
  return id;
}

const calls: LoadCalls = {
  async use(order) {
    gateway = order;
  },
  async open({ symbols }) {
    const { protocol, port } = gateway;
    for (let from = 0; from < symbols.length; from += JOINS_AT_ONCE) {
      const some = symbols.slice(from, from + JOINS_AT_ONCE);
      clients.push(...(await Promise.all(some.map((one) => openClient(protocol, port, one, sink)))));
    }
  },
  async close() {
    for (const { socket } of clients) socket.destroy();
    clients = [];
  },
  async expect({ deliveries, traced }) {
    delivered = 0;
    expected = deliveries;
    ids = new Int32Array(traced ? deliveries : 0);
    atMs = new Float64Array(ids.length);
    arrival = new Promise((resolve) => {
      arrive = resolve;
    });
    for (const { reader } of clients) reader.traced = traced;
  },
  arrived: () => arrival,
  count: async () => delivered,
  async openReaders({ symbols, count }) {
    const { protocol, port } = gateway;
    const silent = { counted() {}, traced() {} };
    readers = await Promise.all(Array.from({ length: count }, () => openClient(protocol, port, symbols, silent)));
    return readers.map(({ socket }) => socket.localPort!);
  },
  async stall() {
    for (const { socket } of readers) socket.pause();
  },
  async closeReaders() {
    for (const { socket } of readers) socket.destroy();
  },
};

serveCalls({ ...calls });
