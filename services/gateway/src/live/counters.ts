/**
 * What live delivery has done since the process began. Plain numbers, since they stand on the hot path; the metrics read
 * them when they are asked for.
 */
export class LiveCounters {
  /** Messages that came from the bus. */
  messagesIn = 0;
  /** Messages handed to clients: one message to a thousand clients is a thousand. */
  messagesOut = 0;
  bytesOut = 0;
  /** Writes to sockets: messagesOut / writes is how many messages share one. */
  writes = 0;
  /** The longest queue of one client, ever. */
  queueHighWaterBytes = 0;
  /** States that clients who read too slowly were not told. */
  skipped = 0;
  /** Clients closed as too slow. */
  slowCloses = 0;
  /** WebSockets that were not opened, and clients that were closed, by code of the error that says why. */
  refused: Record<string, number> = { unauthorized: 0, forbidden: 0, rate_limited: 0 };
  /** Changes that the bus did not bring, and that were read from the store instead: how often. */
  gapsHealed = 0;
  /** Clients' series that had to start again. */
  resets = 0;
  /** Reads of the store for clients that join or catch up. */
  storeReads = 0;
  /** Reads that were answered by one that somebody else waited for as well. */
  storeReadsShared = 0;
  /** Now. */
  connections = 0;
  /** Now: symbols of clients on the channel prices, and series of clients on the channel candles. */
  subscriptions = { prices: 0, candles: 0 };

  refuse(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }
}
