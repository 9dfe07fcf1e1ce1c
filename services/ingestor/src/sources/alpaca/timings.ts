/** How long what is waited for, and how long is waited. All of them at once are an argument, so that tests can be quick. */
export interface Timings {
  /** For the answer to the upgrade. */
  readonly handshakeMs: number;
  /** From the opening of a connection until the server has accepted the key: an answer may never come. */
  readonly authMs: number;
  /** From a request to its acknowledgement. */
  readonly requestMs: number;
  /** For the close handshake; then the socket is cut. */
  readonly closeMs: number;
  readonly pingMs: number;
  readonly pongMs: number;
  /** Pauses between attempts double from the first to the last, half of each at random. */
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
  /** A connection that was live for so long has nothing to do with the attempts before it. */
  readonly stableMs: number;
  /** After `connection limit exceeded`: a connection that was lost occupies the only place for about 90 s. */
  readonly limitMs: number;
  /** After the server said no for good (key, plan): it may still be put right over there. */
  readonly refusedFirstMs: number;
  readonly refusedMaxMs: number;
  /** A symbol that was refused is asked for again. */
  readonly symbolMs: number;
  /** A request that the server failed at is made again. */
  readonly errorMs: number;
  /** After the end of a minute: bars that are expected and not there by then are late, and the clock is withheld. */
  readonly lateMs: number;
  /** After the end of a minute: what has not come by then is asked for, and what the REST API has of it was missed. */
  readonly missedMs: number;
  /** Without any bar while some are expected: the connection is made anew. */
  readonly staleMs: number;
  /** Deadlines are looked at so often, and the symbols. */
  readonly lookMs: number;
  /** The clock is told so often where there is nothing else to tell. */
  readonly clockMs: number;
}

export const TIMINGS: Timings = {
  handshakeMs: 10_000,
  authMs: 15_000,
  requestMs: 15_000,
  closeMs: 2_000,
  pingMs: 10_000,
  pongMs: 5_000,
  retryFirstMs: 1_000,
  retryMaxMs: 30_000,
  stableMs: 60_000,
  limitMs: 90_000,
  refusedFirstMs: 60_000,
  refusedMaxMs: 600_000,
  symbolMs: 600_000,
  errorMs: 5_000,
  lateMs: 20_000,
  missedMs: 20_000,
  staleMs: 200_000,
  lookMs: 250,
  clockMs: 1_000,
};
