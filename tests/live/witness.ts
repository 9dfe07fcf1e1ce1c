import {
  type CandleEvent,
  CandleTable,
  CandlewireClient,
  type FollowQuery,
  type Interval,
  type SnapshotEvent,
  type WebSocketClass,
} from '@candlewire/client';
import { WebSocket } from 'ws';

/** The beginning of each message of a series, as the gateway writes it. */
const SERIES_MESSAGE =
  /^\{"type":"(candle|snapshot|reset)","symbol":"([^"]+)","interval":"([^"]+)","epoch":"[^"]*","seq":(\d+)/;
const FAULTS_MAX = 20;
/** Whoever is paused hears nothing for long: its connection is not lost for that. */
const SILENCE_MS = 600_000;

/** What a client was told of a series since its last snapshot. */
interface Followed {
  readonly epoch: string;
  /** Seq of the snapshot. */
  readonly from: number;
  /** The oldest candle of the snapshot; null where it was empty. */
  readonly oldest: string | null;
  /** Seq of the last event. */
  last: number;
}

/**
 * A client that folds what it is told, and watches how it is told: by the events of the client library, and below them on
 * the wire, where the library would drop what comes twice.
 */
export class Witness {
  readonly table = new CandleTable();
  readonly faults: string[] = [];
  /** Codes with which connections ended that were open. */
  readonly closes: number[] = [];
  /** Series that began anew, though they had a position: where they stood, and where they stand. */
  readonly resets: string[] = [];
  /** States that it was told it was not told. */
  skipped = 0;
  /** When it was told of a restart, by performance.now(). */
  readonly shutdownsAt: number[] = [];
  /** Series that were resumed from a position. */
  resumes = 0;
  readonly series = new Map<string, Followed>();
  private readonly client: CandlewireClient;
  private socket: WebSocket | null = null;

  constructor(
    origin: string,
    readonly query: FollowQuery & { readonly symbols: readonly string[]; readonly intervals: readonly Interval[] },
  ) {
    this.client = new CandlewireClient(origin, {
      WebSocket: this.wire(),
      reconnectMinMs: 50,
      reconnectMaxMs: 1_000,
      silenceMs: SILENCE_MS,
    });
    this.client.follow(query, {
      snapshot: (event) => this.begin(event),
      candle: (event) => this.take(event),
      reset: (event) => {
        const name = `${event.symbol} ${event.interval}`;
        const { epoch, last } = this.series.get(name) ?? {};
        // Before a store is declared its numbers have no epoch, and there is nothing to lose.
        if (epoch !== '') this.resets.push(`${name}: from ${epoch} ${last} to ${event.epoch} ${event.seq}`);
        this.series.delete(name);
        this.table.apply(event);
      },
      skipped: ({ count }) => {
        this.skipped += count;
      },
      error: (err) => this.fault(`refused: ${err.code} ${err.message}`),
    });
  }

  /** Messages that announced a restart. */
  get shutdowns(): number {
    return this.shutdownsAt.length;
  }

  /** Seq of the last that was told of a series; -1 before its snapshot. */
  lastOf(symbol: string, interval: Interval): number {
    return this.series.get(`${symbol} ${interval}`)?.last ?? -1;
  }

  get isOpen(): boolean {
    return this.client.state.name === 'open';
  }

  /** Every series has begun. */
  get hasBegun(): boolean {
    return this.series.size === this.query.symbols.length * this.query.intervals.length;
  }

  close(): void {
    this.client.close();
  }

  /** Reads nothing more from the network. */
  pause(): void {
    this.socket!.pause();
  }

  resume(): void {
    this.socket!.resume();
  }

  private begin(event: SnapshotEvent): void {
    const { symbol, interval, epoch, seq, candles } = event;
    const name = `${symbol} ${interval}`;
    if (this.series.has(name)) this.fault(`${name} ${seq}: a second snapshot`);
    this.series.set(name, { epoch, from: seq, oldest: candles[0]?.timestamp ?? null, last: seq });
    this.table.apply(event);
  }

  private take(event: CandleEvent): void {
    const { symbol, interval, epoch, seq, candle } = event;
    const name = `${symbol} ${interval}`;
    const followed = this.series.get(name);
    if (followed === undefined) {
      this.fault(`${name} ${seq}: before its snapshot`);
      return;
    }
    if (epoch !== followed.epoch) this.fault(`${name} ${seq}: of epoch ${epoch}, not ${followed.epoch}`);
    if (seq <= followed.last) this.fault(`${name} ${seq}: came after ${followed.last}`);
    if (candle.seq !== seq) this.fault(`${name} ${seq}: its candle says ${candle.seq}`);
    followed.last = seq;
    this.table.apply(event);
  }

  private fault(what: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push(what);
  }

  /** The socket under the client: what one connection is told must ascend from where it was begun. */
  private wire(): WebSocketClass {
    const witness = this;
    class Watched extends WebSocket {
      /** Seq of the last message of each series; none: nothing may be told of it. */
      private readonly told = new Map<string, number>();

      constructor(url: string) {
        super(url, { perMessageDeflate: false });
        witness.socket = this;
        this.on('open', () => this.on('close', (code) => void witness.closes.push(code)));
        this.on('message', (data: Buffer) => this.watch(data.toString('latin1', 0, 200)));
      }

      override send(text: string): void {
        const { type, symbols, intervals, since } = JSON.parse(text);
        if (type === 'subscribe' && since !== undefined) {
          witness.resumes++;
          this.told.set(`${symbols[0]} ${intervals[0]}`, since.seq);
        }
        super.send(text);
      }

      private watch(text: string): void {
        if (text.startsWith('{"type":"shutdown"')) witness.shutdownsAt.push(performance.now());
        const [, type, symbol, interval, number] = SERIES_MESSAGE.exec(text) ?? [];
        if (type === undefined) return;
        const name = `${symbol} ${interval}`;
        const seq = Number(number);
        const last = this.told.get(name);
        if (type === 'reset') {
          this.told.delete(name);
          return;
        }
        if (type === 'candle' && last === undefined) witness.fault(`${name} ${seq}: on the wire before its beginning`);
        if (type === 'candle' && last !== undefined && seq <= last)
          witness.fault(`${name} ${seq}: on the wire after ${last}`);
        this.told.set(name, seq);
      }
    }
    return Watched as unknown as WebSocketClass;
  }
}
