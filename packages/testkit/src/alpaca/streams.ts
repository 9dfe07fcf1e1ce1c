import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  ALL,
  type Channel,
  type Credentials,
  codecFor,
  type DataMessage,
  type Encoding,
  encodingOf,
  type Fragment,
  SIP_DELAY_MS,
  STOCK_CHANNELS,
  type StreamErrorCode,
} from '@candlewire/alpaca';
import { loadCalendar } from '@candlewire/runtime';
import { WebSocketServer } from 'ws';
import { type FragmentOf, type OpenRecord, StreamConnection } from './connection';
import type { FakeAlpacaOptions, Plan } from './fake-alpaca';
import type { ConnectionFault, FaultScript } from './faults';
import { dueMessages, type Wanted } from './feed';
import { type AlpacaMarket, createAlpacaMarket } from './market';
import type { ConnectionRecord } from './records';

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

interface Feed {
  readonly path: string;
  readonly market: AlpacaMarket;
  /** So far behind the market. */
  readonly delayMs: number;
  readonly needsSip: boolean;
  /** Market time up to which everything was sent. */
  sentTo: number;
  readonly connections: Set<StreamConnection>;
}

export interface Streams {
  readonly records: readonly ConnectionRecord[];
  readonly live: readonly ConnectionRecord[];
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Sends what became due up to and with this time of the market. */
  pump(nowMs: number): void;
  send(message: DataMessage): void;
  drop(how: 'close' | 'terminate'): void;
  releaseGhosts(): void;
  close(): void;
}

type StreamsOptions = Omit<FakeAlpacaOptions, 'market' | 'plan' | 'faults'> & {
  readonly market: AlpacaMarket;
  readonly plan: Plan;
  readonly keys: Readonly<Record<string, string>>;
  readonly faults: () => FaultScript;
};

export function createStreams(options: StreamsOptions): Streams {
  const { market, plan, clock, keys } = options;
  const feeds = createFeeds(market, clock.now());
  const records: OpenRecord[] = [];
  const slots = createSlots(plan.connectionsMax, options.ghostMs ?? 0);
  /** Sockets that wait for an answer to their upgrade for ever. */
  const hanging = new Set<Duplex>();
  const server = (autoPong: boolean) =>
    new WebSocketServer({ noServer: true, autoPong, perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX });
  const answering = server(true);
  const pongless = server(false);
  const connections = () => feeds.flatMap((feed) => [...feed.connections]);

  function open(
    feed: Feed,
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    record: OpenRecord,
    fault: ConnectionFault,
  ) {
    (fault.pong === false ? pongless : answering).handleUpgrade(req, socket, head, (ws) => {
      record.upgraded = true;
      let free: ((clean: boolean) => void) | null = null;
      const admit = ({ key, secret }: Credentials): StreamErrorCode | null => {
        if (!Object.hasOwn(keys, key) || keys[key] !== secret) return 402;
        if (feed.needsSip && !plan.sip) return 409;
        free = slots.take(`${key} ${feed.path}`);
        return free === null ? 406 : null;
      };
      const connection = new StreamConnection(ws, {
        record,
        rules: { channels: STOCK_CHANNELS, symbolsMax: plan.symbolsMax },
        admit,
        credentials: credentialsOf(req),
        fault,
        authTimeoutMs: options.authTimeoutMs ?? 10_000,
        closeDelayMs: options.closeDelayMs ?? 20,
        slowClientBytes: options.slowClientBytes ?? 64 * 1024 * 1024,
        closeOverLimit: options.overLimit === 'close',
      });
      feed.connections.add(connection);
      ws.on('close', (code) => {
        feed.connections.delete(connection);
        free?.(code !== 1006);
      });
    });
  }

  function deliver(feed: Feed, messages: readonly DataMessage[]): void {
    const fragmentOf = encodeOnce(messages);
    for (const connection of feed.connections) connection.deliver(messages, fragmentOf);
  }

  return {
    records,
    get live() {
      return connections()
        .filter(({ isLive }) => isLive)
        .map(({ record }) => record);
    },
    upgrade(req, socket, head) {
      const { pathname } = new URL(req.url ?? '/', 'ws://localhost');
      const feed = feeds.find(({ path }) => path === pathname);
      if (feed === undefined) {
        refuse(socket, 404);
        return;
      }
      const record = newRecord(records.length + 1, pathname, encodingOf(req.headers['content-type']));
      records.push(record);
      const { connections: script = {} } = options.faults();
      const fault = (typeof script === 'function' ? script(record.number) : script[record.number]) ?? {};
      if (fault.upgrade === undefined) {
        open(feed, req, socket, head, record, fault);
        return;
      }
      socket.on('error', () => {});
      socket.on('close', () => {
        hanging.delete(socket);
        record.closedAt = Date.now();
      });
      if (fault.upgrade === 'hang') hanging.add(socket);
      else refuse(socket, fault.upgrade);
    },
    pump(nowMs) {
      for (const feed of feeds) {
        const fromMs = feed.sentTo;
        const toMs = nowMs - feed.delayMs;
        if (toMs <= fromMs) continue;
        feed.sentTo = toMs;
        if (![...feed.connections].some(({ subscribed }) => subscribed.size > 0)) continue;
        for (const { messages } of dueMessages(feed.market, wantedOf(feed), fromMs, toMs)) deliver(feed, messages);
      }
    },
    send(message) {
      for (const feed of feeds) deliver(feed, [message]);
    },
    drop(how) {
      for (const connection of connections()) connection.drop(how);
    },
    releaseGhosts: slots.releaseGhosts,
    close() {
      slots.end();
      for (const { socket } of connections()) socket.terminate();
      for (const socket of hanging) socket.destroy();
      answering.close();
      pongless.close();
    },
  };
}

function createFeeds(market: AlpacaMarket, now: number): readonly Feed[] {
  const feed = (name: string, fields: Partial<Feed> = {}): Feed => {
    const { delayMs = 0 } = fields;
    const made = { path: `/v2/${name}`, market, delayMs, needsSip: false, sentTo: now - delayMs };
    return { ...made, connections: new Set(), ...fields };
  };
  // Open day and night, with one symbol.
  const always = createAlpacaMarket({ calendar: loadCalendar('24x7'), symbols: ['FAKEPACA'] });
  return [
    feed('iex'),
    feed('sip', { needsSip: true }),
    feed('delayed_sip', { delayMs: SIP_DELAY_MS }),
    feed('test', { market: always }),
  ];
}

/** How many connections there may be, those included that are gone without the server having noticed. */
function createSlots(connectionsMax: number, ghostMs: number) {
  const taken = new Map<string, number>();
  const ghosts = new Map<NodeJS.Timeout, () => void>();
  let ended = false;
  const releaseGhosts = (): void => {
    for (const [timer, free] of ghosts) {
      clearTimeout(timer);
      free();
    }
    ghosts.clear();
  };
  return {
    releaseGhosts,
    /** From now on nothing is left behind. */
    end(): void {
      ended = true;
      releaseGhosts();
    },
    /** What frees it again; null where none is free. */
    take(name: string): ((clean: boolean) => void) | null {
      if ((taken.get(name) ?? 0) >= connectionsMax) return null;
      taken.set(name, (taken.get(name) ?? 0) + 1);
      const free = () => {
        taken.set(name, taken.get(name)! - 1);
      };
      return (clean) => {
        if (clean || ghostMs === 0 || ended) {
          free();
          return;
        }
        const timer = setTimeout(() => {
          ghosts.delete(timer);
          free();
        }, ghostMs);
        ghosts.set(timer, free);
      };
    },
  };
}

function wantedOf({ connections, market }: Feed): Wanted {
  const union = (channel: Channel): Iterable<string> => {
    const symbols = new Set<string>();
    for (const { subscribed } of connections) for (const symbol of subscribed.get(channel) ?? []) symbols.add(symbol);
    return symbols.has(ALL) ? market.symbols : [...symbols].filter(market.isListed);
  };
  return {
    trades: union('trades'),
    bars: union('bars'),
    updatedBars: union('updatedBars'),
    dailyBars: union('dailyBars'),
  };
}

function encodeOnce(messages: readonly DataMessage[]): FragmentOf {
  const fragments: { readonly [E in Encoding]: (Fragment | undefined)[] } = { json: [], msgpack: [] };
  return (encoding, index) => (fragments[encoding][index] ??= codecFor(encoding).fragment(messages[index]!));
}

function newRecord(number: number, path: string, encoding: Encoding): OpenRecord {
  return {
    number,
    path,
    encoding,
    openedAt: Date.now(),
    closedAt: null,
    closeCode: null,
    upgraded: false,
    auths: [],
    authenticated: false,
    subscribed: {},
    received: [],
    sent: {},
  };
}

/** Of the headers of a request; null where they are not there. */
export function credentialsOf({ headers }: IncomingMessage): Credentials | null {
  const key = headers['apca-api-key-id'];
  const secret = headers['apca-api-secret-key'];
  return typeof key === 'string' && typeof secret === 'string' ? { key, secret } : null;
}

function refuse(socket: Duplex, status: number): void {
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
