/** What became of all that was sent to a peer. */
export interface SendProgress {
  readonly queuedBytes: number;
  readonly flushedBytes: number;
}

export interface PongWatch {
  /** The peer said something. */
  heard(): void;
  /** Asked at each ping: whether nothing was heard since the one before. */
  isGone(): boolean;
}

/** Tells a peer that has vanished from one that is only slow: whose queue moves is there, wherever its pong may be. */
export function watchPongs(progress: () => SendProgress): PongWatch {
  let waiting = false;
  let before: SendProgress = { queuedBytes: 0, flushedBytes: 0 };
  return {
    heard() {
      waiting = false;
    },
    isGone() {
      const now = progress();
      const isDraining = before.queuedBytes > 0 && now.flushedBytes > before.flushedBytes;
      const isGone = waiting && !isDraining;
      waiting = true;
      before = now;
      return isGone;
    },
  };
}
