/** One message on a channel. */
export interface Message {
  readonly channel: string;
  readonly text: string;
}

/**
 * Publish and subscribe, last values, the journal, its leader and demand: all that the services say to each other.
 *
 * Calls reject with {@link BusUnavailable} (`retryable`) while the bus is away, after waiting a moment for it, and with
 * {@link BusClosed} once it was closed by this process; what Redis itself refuses for good is thrown as it stands. A call
 * that was under way when the connection broke may have been carried out: the bus never repeats one by itself.
 * A bus within the process is never away, and forgets everything with the process.
 */
export interface Bus {
  /** What carries it, for banners and health. */
  readonly kind: 'redis' | 'in-process';
  readonly journal: Journal;
  readonly leader: Leader;
  readonly demand: Demand;
  /**
   * Publishes in order, in one round trip; calls of one bus keep their order too. Resolves when the bus has taken all of
   * them; at most once delivery: whoever is not subscribed at that moment never sees them. Listeners are never called
   * before this returns. Rejects while the bus is away; the caller decides on a retry.
   */
  publish(messages: readonly Message[]): Promise<void>;
  /**
   * Calls `listener` with each message on `channel`, from the moment this resolves (it may begin a little earlier) until
   * the returned function was called.
   * Several listeners of one channel share one subscription; subscribe and unsubscribe of a channel never overtake each
   * other. Waits while the bus is away, and comes back by itself: messages of the meantime are lost, {@link onReconnect} tells.
   */
  subscribe(channel: string, listener: (text: string) => void): Promise<() => Promise<void>>;
  /**
   * Like {@link subscribe}, for whoever passes messages on: their UTF-8 bytes, as they came. The bytes may be part of a
   * larger buffer; whoever keeps them makes a copy.
   */
  relay(channel: string, listener: (bytes: Buffer) => void): Promise<() => Promise<void>>;
  /** Publishes and keeps the message as the channel's last value. */
  keep(message: Message): Promise<void>;
  /** The last value kept on a channel, or null. */
  kept(channel: string): Promise<string | null>;
  /** Calls `listener` whenever subscriptions are in force again after the connection was lost. */
  onReconnect(listener: () => void): void;
  /** Answers within `timeoutMs` (default 1000): true if the bus can be spoken to now. */
  ping(timeoutMs?: number): Promise<boolean>;
  close(): Promise<void>;
}

/** A journal's identity and length, as somebody knew them. */
export interface JournalHead {
  /** Random; another one means that the journal is another: the bus was emptied or lost entries that it had taken. */
  readonly id: string;
  /** Number of the last entry; 0 while there is none. */
  readonly last: number;
}

export interface Append {
  readonly partition: number;
  /** The head as the appender knows it. */
  readonly known: JournalHead;
  readonly text: string;
  /** Bars in the entry; counted for back-pressure. */
  readonly bars: number;
}

export interface Appended {
  readonly head: JournalHead;
  /** Bars appended and not yet consumed by the partition's owner. */
  readonly waiting: number;
}

export interface ReadEntry {
  /** 1, 2, 3 … without holes. */
  readonly number: number;
  /** Bars in the journal up to and including this entry. */
  readonly barsTotal: number;
  readonly text: string;
}

export interface ReadResult {
  readonly head: JournalHead;
  /** Ascending, each number one more than the one before; the first is `after.last + 1`, or 1-based from what is left in a new journal. */
  readonly entries: readonly ReadEntry[];
}

/**
 * The ordered input of each partition. An append is acknowledged once the bus holds the entry; entries stay until their
 * consumer has said so and for a while after.
 */
export interface Journal {
  /** Heads of all partitions, made where there is none. */
  open(partitions: number): Promise<JournalHead[]>;
  /**
   * Appends entries, each to its partition and in order, and publishes `alongside`, in one round trip.
   *
   * `token` is that of the {@link Leader}: an entry is taken only if it still leads at that very moment, and messages are
   * published on the same condition. null: whoever feeds a journal that nobody leads, as tests and benches do.
   *
   * Where a journal is not the one that the appender knows (its id differs, or it is shorter than `known.last`, which
   * means that the bus lost acknowledged entries: it then gets a new id), nothing is appended to it and the result's head
   * has an id other than `known.id`. Bars are published all the same. An id of '' knows no journal.
   *
   * Whoever appends again after a rejection may append twice, for an entry whose connection broke before the answer may
   * have been taken. That does no harm: bars that come again with the same rev change nothing.
   * @throws NotLeader where the token leads no more; entries of the call that came before its end were taken
   */
  append(token: string | null, appends: readonly Append[], alongside?: readonly Message[]): Promise<Appended[]>;
  /**
   * Entries after `after`, at most `entriesMax`. `after.id` other than the journal's: entries from the oldest that is
   * left, and the result's head says which journal it is. A journal that is shorter than `after.last`, or whose next
   * entry was trimmed away, has lost something: it gets a new id, so that both ends notice, and is read from its oldest
   * entry. One that cannot be read in order any more (entries missing in between, or written by others) starts over,
   * empty, with a new id.
   * @throws RangeError where `entriesMax` is below 1
   */
  read(partition: number, after: JournalHead, entriesMax: number): Promise<ReadResult>;
  /** The owner has committed everything up to this entry; older entries may go. A stale `id` is ignored. */
  consumed(partition: number, id: string, entry: ReadEntry): Promise<void>;
  /** Bars waiting in each partition, for a source that pauses. */
  waiting(partitions: number): Promise<number[]>;
  /** Calls `listener` when something was appended to the partition. May be lost with the connection: look from time to time as well. */
  onAppend(partition: number, listener: () => void): Promise<() => Promise<void>>;
}

/**
 * Who alone may append, as a lease by the bus's own clock, with a token that the journal checks: a process that was
 * paused while its lease ran out finds nothing that it sends taken, whatever it believes. Tokens never come again, not
 * even from a bus that was emptied meanwhile. One lease for all partitions.
 */
export interface Leader {
  /**
   * Takes the lead for `leaseMs` from now, if nobody has it. An `owner` that has it already takes it over from itself:
   * the answer to its last call may have been lost. Its earlier token leads no more.
   * @param owner a name that no other process has; stands in the token, for people
   * @returns the token, or null where another one leads
   * @throws RangeError where `leaseMs` is below 1 or not finite
   */
  acquire(owner: string, leaseMs: number): Promise<string | null>;
  /**
   * Makes the lease end `leaseMs` from now.
   * @returns false where the token leads no more: its lease ran out, or the bus was emptied
   * @throws RangeError as {@link acquire}
   */
  renew(token: string, leaseMs: number): Promise<boolean>;
  /** Ends the token's lease at once, and tells those who wait. Without effect where it leads no more. */
  release(token: string): Promise<void>;
  /** Calls `listener` when the lead was released; of one that runs out nobody tells. May be lost with the connection: try from time to time as well. */
  onRelease(listener: () => void): Promise<() => Promise<void>>;
}

/**
 * Which symbols somebody wants now, as expiring leases: gateways hold them for what their clients watch, the ingestor
 * reads them. Time is the bus's own, so that processes need not agree on it. At most 20,000 symbols have a lease.
 */
export interface Demand {
  /**
   * Leases the symbols until `leaseMs` from now; who goes on wanting them asks again in time. A symbol has one lease,
   * whoever asks: it lasts until the latest end that anybody asked for. Where there are too many symbols, new ones are
   * left out and the log says so: whoever was first stays, and asking again helps once others have gone.
   * @throws RangeError where `leaseMs` is below 1 or not finite
   */
  want(symbols: readonly string[], leaseMs: number): Promise<void>;
  /** Symbols whose lease has not run out: the one that has been wanted for longest without a break comes first. */
  wanted(): Promise<string[]>;
  /** Ends a symbol's lease at once, whoever holds it. Whoever asks for it again gets a new one. */
  drop(symbol: string): Promise<void>;
  /** Calls `listener` when a symbol that had no lease was given one. May be lost with the connection: look from time to time as well. */
  onWant(listener: () => void): Promise<() => Promise<void>>;
}
