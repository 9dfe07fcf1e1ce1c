/** Something that gathers what comes up, and passes it on when it is told to. */
export interface Flushable {
  flush(): void;
}

/**
 * When what was gathered goes on: channels hand what came in one turn of the event loop to the clients' outboxes, and each
 * outbox writes once. A write costs more than anything else here, so that what shares one is what makes it cheap.
 *
 * With a window, channels wait that long for more to come; answers to a client's own messages do not.
 */
export class Flusher {
  /** performance.now() of the present flush, which all that it writes share. */
  now = performance.now();
  private readonly channels: Flushable[] = [];
  private readonly outboxes: Flushable[] = [];
  private relaying: NodeJS.Timeout | NodeJS.Immediate | null = null;
  private writing: NodeJS.Immediate | null = null;

  /**
   * @param windowMs 0: the present turn of the event loop
   * @param onFailure hears of each that could not be flushed: the others are
   */
  constructor(
    private readonly windowMs: number,
    private readonly onFailure: (err: unknown) => void = (err) => {
      throw err;
    },
  ) {}

  /** The channel holds something; it says so once before it is flushed. */
  channel(channel: Flushable): void {
    this.channels.push(channel);
    this.relaying ??= this.windowMs > 0 ? setTimeout(this.relay, this.windowMs) : setImmediate(this.relay);
  }

  /** The outbox holds something; it says so once before it is flushed. */
  outbox(outbox: Flushable): void {
    this.outboxes.push(outbox);
    this.writing ??= setImmediate(this.write);
  }

  private readonly relay = (): void => {
    this.relaying = null;
    this.flushAll(this.channels);
    // What was just handed over need not wait for another turn.
    if (this.writing !== null) clearImmediate(this.writing);
    this.write();
  };

  private readonly write = (): void => {
    this.writing = null;
    this.now = performance.now();
    this.flushAll(this.outboxes);
  };

  /** What comes up meanwhile is flushed as well. */
  private flushAll(some: Flushable[]): void {
    for (let i = 0; i < some.length; i++) {
      try {
        some[i]!.flush();
      } catch (err) {
        this.onFailure(err);
      }
    }
    some.length = 0;
  }
}
