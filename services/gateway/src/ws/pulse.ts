/** Something that has to be looked at from time to time. */
export interface Beating {
  /** @param now performance.now() */
  beat(now: number): void;
}

/** One timer for all connections: heartbeats, pings, and who has stopped reading. */
export class Pulse {
  private readonly beating = new Set<Beating>();
  private timer: NodeJS.Timeout | null = null;

  constructor(readonly everyMs: number) {}

  add(one: Beating): void {
    this.beating.add(one);
    // After the sockets' turn: where this process stood still, what peers read and said meanwhile is heard first.
    this.timer ??= setInterval(() => setImmediate(() => this.beat()), this.everyMs);
  }

  delete(one: Beating): void {
    this.beating.delete(one);
    if (this.beating.size > 0 || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }

  private beat(): void {
    const now = performance.now();
    for (const each of this.beating) each.beat(now);
  }
}
