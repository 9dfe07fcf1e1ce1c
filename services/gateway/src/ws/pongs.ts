/** What became of what was sent to a peer. */
export interface SendProgress {
  /** More waits than the socket takes. */
  readonly isBlocked: boolean;
  /** When the socket last took something. */
  readonly progressAt: number;
}

/** Tells a peer that has vanished from one that is only slow: whose queue moves is there, wherever its pong may be. */
export class PongWatch {
  private waiting = false;
  private wasBlocked = false;
  private progressAt = 0;

  /** The peer said something. */
  heard(): void {
    this.waiting = false;
  }

  /** Asked at each ping: whether nothing was heard since the one before. */
  isGone({ isBlocked, progressAt }: SendProgress): boolean {
    const isDraining = this.wasBlocked && progressAt > this.progressAt;
    const isGone = this.waiting && !isDraining;
    this.waiting = true;
    this.wasBlocked = isBlocked;
    this.progressAt = progressAt;
    return isGone;
  }
}
