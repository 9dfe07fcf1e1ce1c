import { backoffMs } from './backoff.ts';
import { CandlewireError } from './errors.ts';

const CONNECT_MS = 15_000;
/** A connection that lived so long was a good one: the next pause is the shortest again. */
const STABLE_MS = 10_000;
/** The others either ask us to come back, or are the network's. */
const FATAL: readonly number[] = [1003, 1008, 1009];
const RETRIED_OF_44XX: readonly number[] = [4408, 4429];

/** As much of a WebSocket as is used: that of browsers, and that of `ws`. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number): void;
  /** Of `ws`: at once, without a word. */
  terminate?(): void;
}

/** Makes a WebSocket to a URL: `globalThis.WebSocket`, that of `ws`, or one's own. */
export type WebSocketClass = new (url: string) => WebSocketLike;

/**
 * - `idle`: nothing is followed
 * - `connecting`: a WebSocket is being opened
 * - `open`: it is
 * - `waiting`: it was lost; the next attempt comes in `retryInMs`
 * - `failed`: the server closed it for good
 * - `closed`: by `close()`
 */
export interface LinkState {
  readonly name: 'idle' | 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';
  /** Of `waiting`. */
  readonly retryInMs?: number;
  /** Of `waiting` and `failed`: what ended the last connection. */
  readonly error?: CandlewireError;
}

/** How to reach the server, and when to give a connection up. */
export interface LinkOptions {
  readonly url: string;
  readonly WebSocket: WebSocketClass | undefined;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly silenceMs: number;
}

/** What the link tells. */
export interface LinkEvents {
  opened(): void;
  /** Any message but `shutdown`, parsed. */
  message(message: ServerMessage): void;
  /** The connection is gone, whatever was asked on it too; another one comes. */
  lost(): void;
  failed(error: CandlewireError): void;
  state(state: LinkState): void;
}

/** A message of the server; fields other than `type` are as the protocol says. */
export type ServerMessage = { readonly type: string } & Readonly<Record<string, unknown>>;

let ofNode: Promise<WebSocketClass> | undefined;

/** Node before 22 has no WebSocket of its own. Loaded only there, so that browsers need not know of it. */
function webSocketClass(): WebSocketClass | Promise<WebSocketClass> {
  const { WebSocket } = globalThis as { WebSocket?: WebSocketClass };
  return WebSocket ?? (ofNode ??= import('ws').then((ws) => ws.WebSocket as unknown as WebSocketClass));
}

/** One WebSocket that comes back: opens, notices silence, and waits between attempts. What is said on it is others' affair. */
export class Link {
  state: LinkState = { name: 'idle' };
  private socket: WebSocketLike | null = null;
  /** Of the connection at hand; what belongs to an earlier one is ignored. */
  private attempt = 0;
  private failures = 0;
  private openedAtMs = 0;
  private heardAtMs = 0;
  private restartAfterMs: number | null = null;
  /** What the server, or the network, said before it closed the connection. */
  private serverError: { readonly code: string; readonly message: string } | null = null;
  private networkError: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly options: LinkOptions,
    private readonly events: LinkEvents,
  ) {}

  /** Connects where it is idle. */
  open(): void {
    if (this.state.name === 'idle') this.connect();
  }

  /** False where there is no connection. */
  send(text: string): boolean {
    if (this.state.name !== 'open') return false;
    this.socket?.send(text);
    return true;
  }

  /** Ends the connection; `idle` may be opened again. */
  close(name: 'idle' | 'closed'): void {
    if (this.state.name === 'closed') return;
    this.drop()?.close(1000);
    this.failures = 0;
    if (this.state.name !== 'failed' || name === 'closed') this.become({ name });
  }

  private connect(): void {
    const attempt = ++this.attempt;
    this.become({ name: 'connecting' });
    if (this.attempt !== attempt) return;
    this.timer = setTimeout(() => this.lose('no connection in time'), CONNECT_MS);
    const { WebSocket = webSocketClass() } = this.options;
    if (WebSocket instanceof Promise) {
      WebSocket.then(
        (loaded) => this.attempt === attempt && this.dial(loaded),
        (err: unknown) => this.attempt === attempt && this.fail(0, 'no WebSocket here: install ws, or give one', err),
      );
    } else this.dial(WebSocket);
  }

  private dial(WebSocket: WebSocketClass): void {
    this.serverError = null;
    this.networkError = null;
    this.restartAfterMs = null;
    let socket: WebSocketLike;
    try {
      socket = new WebSocket(this.options.url);
    } catch (err) {
      this.fail(0, `no WebSocket to ${this.options.url}`, err);
      return;
    }
    this.socket = socket;
    socket.onopen = () => this.opened();
    socket.onmessage = (event: { readonly data: unknown }) => this.heard(event.data);
    socket.onclose = (event: { readonly code: number; readonly reason: string }) =>
      this.closed(event.code, event.reason);
    // `ws` says here why it could not connect; a close follows in any case.
    socket.onerror = (event: { readonly message?: string }) => {
      this.networkError = event.message || 'no connection';
    };
  }

  private opened(): void {
    clearTimeout(this.timer);
    this.openedAtMs = this.heardAtMs = Date.now();
    this.watch(this.options.silenceMs);
    this.become({ name: 'open' });
    this.events.opened();
  }

  private heard(data: unknown): void {
    this.heardAtMs = Date.now();
    const message = parse(data);
    if (!message) return;
    if (message.type === 'shutdown') {
      const afterMs = Number(message.reconnect_after_ms);
      this.restartAfterMs = Number.isFinite(afterMs) ? Math.max(0, afterMs) : null;
    } else {
      if (message.type === 'error') this.serverError = { code: String(message.code), message: String(message.message) };
      this.events.message(message);
    }
  }

  /** The server says something every 15 s. One timer looks now and then, instead of a new one for each message. */
  private watch(ms: number): void {
    this.timer = setTimeout(() => {
      const leftMs = this.heardAtMs + this.options.silenceMs - Date.now();
      if (leftMs <= 0) this.lose(`nothing heard for ${this.options.silenceMs} ms`);
      else this.watch(leftMs);
    }, ms);
  }

  private closed(code: number, reason: string): void {
    const closed = `the connection was closed with ${code}`;
    const isFatal = FATAL.includes(code) || (code >= 4400 && code < 4500 && !RETRIED_OF_44XX.includes(code));
    if (isFatal) this.fail(code, this.serverError?.message || reason || closed);
    else this.lose(this.networkError || reason || closed, code);
  }

  private fail(status: number, message: string, cause?: unknown): void {
    const code = this.serverError?.code ?? 'connection_refused';
    const error = new CandlewireError(message, { status, code, cause });
    this.drop();
    this.become({ name: 'failed', error });
    this.events.failed(error);
  }

  private lose(message: string, status = 0): void {
    const isStable = this.openedAtMs > 0 && Date.now() - this.openedAtMs >= STABLE_MS;
    const { reconnectMinMs, reconnectMaxMs } = this.options;
    this.failures = isStable ? 1 : this.failures + 1;
    const retryInMs = this.restartAfterMs ?? backoffMs(this.failures, reconnectMinMs, reconnectMaxMs);
    if (this.restartAfterMs !== null) this.failures = 0;
    const error = new CandlewireError(message, { status, code: 'network', retryable: true });
    const socket = this.drop();
    const { attempt } = this;
    // A network that is gone answers no farewell.
    if (socket?.terminate) socket.terminate();
    else socket?.close();
    this.timer = setTimeout(() => this.connect(), retryInMs);
    this.events.lost();
    // Whoever heard of it may have closed all.
    if (this.attempt !== attempt) return;
    this.become({ name: 'waiting', retryInMs, error });
  }

  /** Lets go of the connection: nothing more is heard of it. */
  private drop(): WebSocketLike | null {
    clearTimeout(this.timer);
    this.attempt++;
    this.openedAtMs = 0;
    const { socket } = this;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      // `ws` throws an error that nobody listens to, such as that of a connection closed while it was being opened.
      socket.onerror = () => {};
    }
    return socket;
  }

  private become(state: LinkState): void {
    this.state = state;
    this.events.state(state);
  }
}

function parse(data: unknown): ServerMessage | null {
  if (typeof data !== 'string') return null;
  try {
    const message = JSON.parse(data) as ServerMessage | null;
    return typeof message?.type === 'string' ? message : null;
  } catch {
    return null;
  }
}
