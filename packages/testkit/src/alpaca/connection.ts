import {
  authTimedOut,
  CONNECTED,
  type ControlMessage,
  type Credentials,
  codecFor,
  type DataMessage,
  decodeFrame,
  type Encoding,
  encodeFrame,
  errorMessage,
  type Fragment,
  openSession,
  receive,
  type SessionRules,
  type SessionState,
  type SessionStep,
  type StreamErrorCode,
  wants,
} from '@candlewire/alpaca';
import type { RawData, WebSocket } from 'ws';
import type { ConnectionFault, DataFault } from './faults';
import type { ConnectionRecord } from './records';

/** Messages of data in one frame. */
const FRAME_MESSAGES_MAX = 500;
/** A byte that msgpack never uses, then what is no UTF-8. */
const BAD_BYTES = Uint8Array.of(0xc1, 0xff, 0xfe);
const NULL_ELEMENT = { json: '[null]', msgpack: Uint8Array.of(0x91, 0xc0) };

export type OpenRecord = { -readonly [Field in keyof ConnectionRecord]: ConnectionRecord[Field] } & {
  auths: { at: number; key: string; refused: number | null }[];
  received: unknown[];
  sent: Record<string, number>;
};

/** Encodes a message of the batch at hand; the same for all connections of one encoding. */
export type FragmentOf = (encoding: Encoding, index: number) => Fragment;

export interface ConnectionOptions {
  readonly record: OpenRecord;
  readonly rules: Omit<SessionRules, 'admit'>;
  readonly admit: SessionRules['admit'];
  readonly credentials: Credentials | null;
  readonly fault: ConnectionFault;
  readonly authTimeoutMs: number;
  readonly closeDelayMs: number;
  readonly slowClientBytes: number;
  /** Close where 406 would keep the socket open. */
  readonly closeOverLimit: boolean;
}

/** One socket: the session of the protocol, and what the script makes of it. */
export class StreamConnection {
  private state: SessionState = { phase: 'connected', subscribed: new Map() };
  private readonly rules: SessionRules;
  private readonly authTimer: NodeJS.Timeout;
  private closeTimer: NodeJS.Timeout | null = null;
  private pending: Fragment[] = [];
  private readonly faults: DataFault[];
  private alteration: DataFault | null = null;
  private held: { readonly symbol: string; readonly fragment: Fragment } | null = null;
  /** Bars still to be swallowed. */
  private muted = 0;
  private subscribesRefused = 0;
  private bars = 0;

  constructor(
    readonly socket: WebSocket,
    private readonly options: ConnectionOptions,
  ) {
    const { fault, rules, credentials } = options;
    this.rules = { ...rules, admit: (given) => this.admit(given) };
    this.faults = [...(fault.data ?? [])].sort((a, b) => a.afterBars - b.afterBars);
    this.authTimer = setTimeout(() => this.apply(authTimedOut(this.state)), options.authTimeoutMs);
    if (fault.auth === 'silent') clearTimeout(this.authTimer);
    socket.on('message', (data) => this.onMessage(data));
    socket.on('error', () => {});
    socket.on('close', (code) => {
      clearTimeout(this.authTimer);
      if (this.closeTimer !== null) clearTimeout(this.closeTimer);
      options.record.closedAt = Date.now();
      options.record.closeCode = code;
    });
    const opened = openSession(this.rules, fault.auth === 'silent' ? null : credentials);
    this.apply(
      fault.greeting === false ? { ...opened, replies: opened.replies.filter((it) => it !== CONNECTED) } : opened,
    );
  }

  get record(): ConnectionRecord {
    return this.options.record;
  }

  get subscribed(): SessionState['subscribed'] {
    return this.state.subscribed;
  }

  get isLive(): boolean {
    return this.state.phase === 'authenticated' && this.socket.readyState === this.socket.OPEN;
  }

  /** Hot: passes on those of the messages that the client subscribed. */
  deliver(messages: readonly DataMessage[], fragmentOf: FragmentOf): void {
    const { encoding } = this.record;
    for (let index = 0; index < messages.length && this.isLive; index++) {
      const message = messages[index]!;
      if (!wants(this.state, message)) continue;
      if (message.T === 'b') this.deliverBar(message, fragmentOf(encoding, index));
      else if (this.muted === 0) this.push(message.T, fragmentOf(encoding, index));
    }
    this.flush();
  }

  drop(how: 'close' | 'terminate', code = 1000): void {
    if (how === 'terminate') this.socket.terminate();
    else this.socket.close(code);
  }

  private deliverBar(message: DataMessage, fragment: Fragment): void {
    if (this.muted > 0) {
      this.muted--;
      return;
    }
    const { alteration } = this;
    this.alteration = null;
    if (alteration?.do === 'out_of_order') this.held = { symbol: message.S, fragment };
    else if (alteration?.do === 'missing_field') this.push('b', this.without(message, alteration.field));
    else this.push('b', fragment);
    if (alteration?.do === 'duplicate') this.push('b', fragment);
    if (this.held !== null && this.held.symbol === message.S && this.held.fragment !== fragment) {
      this.push('b', this.held.fragment);
      this.held = null;
    }
    this.bars++;
    this.applyFaults();
  }

  private without(message: DataMessage, field: string): Fragment {
    const { [field]: _, ...rest } = message as unknown as Record<string, unknown>;
    return codecFor(this.record.encoding).fragment(rest as unknown as DataMessage);
  }

  private push(type: string, fragment: Fragment): void {
    const { sent } = this.options.record;
    sent[type] = (sent[type] ?? 0) + 1;
    this.pending.push(fragment);
    if (this.pending.length === FRAME_MESSAGES_MAX) this.flush();
  }

  private flush(): void {
    if (this.pending.length === 0) return;
    const fragments = this.pending;
    this.pending = [];
    this.write(codecFor(this.record.encoding).frame(fragments));
  }

  private write(frame: string | Uint8Array): void {
    const { socket, options } = this;
    if (socket.readyState !== socket.OPEN) return;
    socket.send(frame);
    if (socket.bufferedAmount > options.slowClientBytes) {
      socket.send(encodeFrame(this.record.encoding, [errorMessage(407)]));
      socket.terminate();
    }
  }

  private admit(credentials: Credentials): StreamErrorCode | null {
    const { fault, record } = this.options;
    const scripted = typeof fault.auth === 'object' ? fault.auth.code : null;
    const refused = scripted ?? this.options.admit(credentials);
    record.auths.push({ at: Date.now(), key: credentials.key, refused });
    return refused;
  }

  private onMessage(data: RawData): void {
    // Text and binary both arrive as bytes; what they hold tells them apart.
    const message = decodeFrame(data as Buffer);
    const { record, fault } = this.options;
    record.received.push(withoutSecret(message));
    const action = (message as { action?: unknown } | undefined)?.action;
    if (action === 'auth' && fault.auth === 'silent') {
      const { key } = message as { key?: unknown };
      record.auths.push({ at: Date.now(), key: String(key), refused: null });
      return;
    }
    if (action === 'subscribe' && this.state.phase === 'authenticated' && fault.subscribe !== undefined) {
      const { code, times = Number.POSITIVE_INFINITY } = fault.subscribe;
      if (this.subscribesRefused++ < times) {
        this.reply(errorMessage(code));
        return;
      }
    }
    this.apply(receive(this.state, message, this.rules));
  }

  private apply(step: SessionStep): void {
    const { record, fault } = this.options;
    this.state = step.state;
    if (step.state.phase === 'authenticated') clearTimeout(this.authTimer);
    record.authenticated = step.state.phase === 'authenticated';
    record.subscribed = Object.fromEntries(
      [...step.state.subscribed].map(([channel, symbols]) => [channel, [...symbols].sort()]),
    );
    for (const message of step.replies) this.reply(message);
    const codes = step.replies.map((message) => ('code' in message ? message.code : null));
    const closes =
      (codes.includes(406) && this.options.closeOverLimit) ||
      (typeof fault.auth === 'object' && fault.auth.close === true && codes.includes(fault.auth.code));
    if (step.end || closes) this.closeSoon();
    if (step.replies.some(({ T }) => T === 'subscription')) this.applyFaults();
  }

  private reply(message: ControlMessage): void {
    this.flush();
    this.write(encodeFrame(this.record.encoding, [message]));
  }

  private closeSoon(): void {
    this.closeTimer ??= setTimeout(() => this.socket.close(1000), this.options.closeDelayMs);
  }

  private applyFaults(): void {
    while (this.faults[0] !== undefined && this.faults[0].afterBars <= this.bars) {
      const fault = this.faults.shift()!;
      this.flush();
      this.applyFault(fault);
    }
  }

  private applyFault(fault: DataFault): void {
    const { encoding } = this.record;
    switch (fault.do) {
      case 'close':
        this.drop('close', fault.code);
        break;
      case 'terminate':
        this.drop('terminate');
        break;
      case 'mute':
        this.muted = fault.bars ?? Number.POSITIVE_INFINITY;
        break;
      case 'bad_bytes':
        this.write(encoding === 'json' ? '{"T":"b",' : BAD_BYTES);
        break;
      case 'other_encoding':
        this.write(encodeFrame(encoding === 'json' ? 'msgpack' : 'json', []));
        break;
      case 'not_an_array':
        this.write(codecFor(encoding).fragment(CONNECTED));
        break;
      case 'null_element':
        this.write(NULL_ELEMENT[encoding]);
        break;
      case 'error':
        this.reply(errorMessage(fault.code));
        if (fault.close) this.closeSoon();
        break;
      default:
        this.alteration = fault;
    }
  }
}

function withoutSecret(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'secret' in message
    ? { ...message, secret: '***' }
    : message;
}
