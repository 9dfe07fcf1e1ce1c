import {
  type Append,
  type Appended,
  BusUnavailable,
  type Journal,
  type JournalHead,
  type Message,
  NotLeader,
} from '@candlewire/bus';
import {
  type Bar,
  type Channels,
  ENTRY_BARS_MAX,
  encodeBar,
  encodeEntry,
  encodeEntryOf,
  PARTITIONS,
  partitionOf,
  type RebuildOrder,
} from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import { HistoryPace } from './history-pace';
import type { Delivery } from './sources/source';
import type { Time } from './time';

/** Bars that may wait for a partition's owner before the source is paused: they all lie in Redis's memory. */
export const WAITING_BARS_MAX = 50_000;
/** A partition that got no bars for so long is told the clock alone, at most once in such a time. */
const QUIET_MS = 1_000;
/** How often the journals are looked at while nothing is appended. */
const HEADS_CHECK_MS = 2_000;
const ROOM_POLL_MS = 100;
/** A pause is ordinary in a fast replay; one of this length means that nobody consumes. */
const ROOM_WARN_MS = 10_000;

export interface JournalWriterOptions {
  readonly journal: Journal;
  readonly channels: Channels;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * The ingestor's end of the journals. Nothing here gives up while the bus is away: it retries, with backoff, until the
 * signal is aborted (and throws then). An append that is tried again may stand in a journal twice, which changes nothing.
 * What the bus refuses for good is thrown: that somebody else leads, above all (`NotLeader`).
 */
export interface JournalWriter {
  /** Bars and entries appended so far, and appends that were refused because another one leads. */
  readonly appended: { readonly bars: number; readonly entries: number; readonly fenced: number };
  /**
   * Takes the journals as they are now, and all that was known of clocks as unsaid: before a source begins. From now on
   * `token` stands for the right to append; null where nobody leads.
   * @returns false where a journal is another one than this process knew, in an earlier term perhaps
   */
  open(token: string | null, signal: AbortSignal): Promise<boolean>;
  /** Waits until no partition has more bars waiting than it may. */
  room(signal: AbortSignal): Promise<void>;
  /**
   * Appends and publishes a delivery. Where it says that the source has finished, every partition hears its clock.
   * @returns false where a journal turned out to be another one: what went to it before is lost
   */
  write(delivery: Delivery, signal: AbortSignal): Promise<boolean>;
  /** To be called about twice a second: tells quiet partitions the clock, and looks at the journals. Returns as {@link write}. */
  tick(signal: AbortSignal): Promise<boolean>;
  /**
   * Appends the first of `bars` to a partition, without publishing them and without a clock, once it is their turn: as many
   * as there is room for. May run beside everything else.
   * @returns the journal with them, and their number; null where it is not the one that was opened: nothing was appended
   */
  appendHistory(partition: number, bars: readonly Bar[], signal: AbortSignal): Promise<AppendedHistory | null>;
  /** Appends an order to a partition's journal: soon, whatever waits there. Where the journal is another one, nothing. */
  appendOrder(partition: number, order: RebuildOrder, signal: AbortSignal): Promise<void>;
  /** Resolves when nothing is being appended. */
  idle(): Promise<void>;
  /** Identity of a partition's journal as it was last seen; '' before the journals were opened. */
  journalOf(partition: number): string;
  /** The journals as this process knows them, all that it appended included; null before they were opened. */
  heads(): readonly JournalHead[] | null;
}

export interface AppendedHistory {
  readonly journal: JournalHead;
  readonly bars: number;
}

interface Partition {
  readonly number: number;
  head: JournalHead | null;
  /** Bars not yet consumed, as of the last answer. */
  waiting: number;
  /** Whether it ever got bars, from whomever: they wait for a clock. */
  served: boolean;
  /** The last clock that it was told. */
  clock: number;
  toldAt: number;
}

export function createJournalWriter({ journal, channels, time, logger }: JournalWriterOptions): JournalWriter {
  const partitions = Array.from({ length: PARTITIONS }, (_, number): Partition => {
    return {
      number,
      head: null,
      waiting: 0,
      served: false,
      clock: Number.NEGATIVE_INFINITY,
      toldAt: Number.NEGATIVE_INFINITY,
    };
  });
  const appended = { bars: 0, entries: 0, fenced: 0 };
  const logAway = boundedLog(logger, 'the bus is away', { first: 1 });
  const pace = new HistoryPace(time);
  const underWay = new Set<Promise<unknown>>();
  let token: string | null = null;
  let clock: number | null = null;
  let lookedAt = time.elapsedMs();

  function persist<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const onFailure = (err: unknown, attempt: number) => {
      if (!(err instanceof BusUnavailable)) throw err;
      logAway({ err, attempt });
    };
    return retry(act, { signal, onFailure });
  }

  async function send(
    appends: readonly Append[],
    alongside: readonly Message[],
    signal: AbortSignal,
  ): Promise<readonly Appended[]> {
    // Of the term in which it was begun: what is tried again must not profit from the next one.
    const by = token;
    const sending = persist(() => journal.append(by, appends, alongside), signal);
    underWay.add(sending);
    try {
      return await sending;
    } catch (err) {
      if (err instanceof NotLeader) appended.fenced++;
      throw err;
    } finally {
      underWay.delete(sending);
    }
  }

  /** Adopts the journals' heads; false where one is another than it was. */
  async function look(signal: AbortSignal): Promise<boolean> {
    const heads = await persist(() => journal.open(PARTITIONS), signal);
    lookedAt = time.elapsedMs();
    let same = true;
    const shorter: Append[] = [];
    for (const partition of partitions) {
      const head = heads[partition.number]!;
      const known = partition.head;
      if (known !== null && head.id === known.id && head.last < known.last) {
        // Redis came back with less than it had taken. An append that says what is known gives the journal a new id,
        // so that its reader does not take new entries for ones that it has had.
        shorter.push({ partition: partition.number, known, text: encodeEntryOf(null, []), bars: 0 });
        continue;
      }
      if (known !== null && head.id !== known.id) same = false;
      if (head.last > 0) partition.served = true;
      partition.head = head;
    }
    return (await append(shorter, [], signal)) && same;
  }

  async function append(
    appends: readonly Append[],
    alongside: readonly Message[],
    signal: AbortSignal,
  ): Promise<boolean> {
    if (appends.length === 0) return true;
    const results = await send(appends, alongside, signal);
    lookedAt = time.elapsedMs();
    let same = true;
    for (const [index, { head, waiting }] of results.entries()) {
      const { partition: number, known, bars } = appends[index]!;
      const partition = partitions[number]!;
      partition.waiting = waiting;
      if (head.id !== known.id) {
        partition.head = head;
        same = false;
        continue;
      }
      moveTo(partition, head);
      appended.bars += bars;
      appended.entries++;
    }
    return same;
  }

  /** Answers to what runs side by side may come in any order. */
  function moveTo(partition: Partition, head: JournalHead): void {
    if (partition.head?.id === head.id && partition.head.last < head.last) partition.head = head;
  }

  async function refreshWaiting(signal: AbortSignal): Promise<void> {
    const waiting = await persist(() => journal.waiting(PARTITIONS), signal);
    for (const partition of partitions) partition.waiting = waiting[partition.number]!;
  }

  /** The entries that bring `bars` (as text) and the clock to a partition. */
  function entriesOf(partition: Partition, bars: readonly string[]): Append[] {
    const { id, last } = partition.head!;
    const entries: Append[] = [];
    for (let from = 0; from === 0 || from < bars.length; from += ENTRY_BARS_MAX) {
      const part = bars.slice(from, from + ENTRY_BARS_MAX);
      // The clock holds after all of them: told earlier, it would make candles final whose bars are still to come.
      const told = from + ENTRY_BARS_MAX < bars.length ? null : clock;
      const known = { id, last: last + entries.length };
      entries.push({ partition: partition.number, known, text: encodeEntryOf(told, part), bars: part.length });
    }
    partition.toldAt = time.elapsedMs();
    if (clock !== null) partition.clock = clock;
    return entries;
  }

  /** Clock entries for partitions without bars to send. */
  function clockEntries(to: (partition: Partition) => boolean): Append[] {
    return partitions
      .filter((one) => clock !== null && clock > one.clock && to(one))
      .flatMap((one) => entriesOf(one, []));
  }

  /** How many bars of history a partition may get now. */
  function roomForHistory({ waiting }: Partition): number {
    const waitingInAll = partitions.reduce((sum, one) => sum + one.waiting, 0);
    return pace.room(waiting, waitingInAll);
  }

  const isQuiet = (partition: Partition) => partition.served && time.elapsedMs() - partition.toldAt >= QUIET_MS;

  return {
    appended,

    async open(by, signal) {
      token = by;
      const same = await look(signal);
      for (const partition of partitions) partition.clock = Number.NEGATIVE_INFINITY;
      clock = null;
      await refreshWaiting(signal);
      return same;
    },

    async room(signal) {
      let waited = 0;
      while (partitions.some(({ waiting }) => waiting > WAITING_BARS_MAX) && !signal.aborted) {
        if (waited > 0 && waited % ROOM_WARN_MS === 0) {
          logger.warn('paused: bars wait for an aggregator', {
            waiting: Math.max(...partitions.map(({ waiting }) => waiting)),
          });
        }
        await time.pause(ROOM_POLL_MS, signal);
        waited += ROOM_POLL_MS;
        await refreshWaiting(signal);
      }
    },

    // Hot: once for each delivery, encodeBar once for each bar.
    write(delivery, signal) {
      clock = delivery.clock;
      const texts: string[][] = partitions.map(() => []);
      const alongside: Message[] = [];
      for (const bar of delivery.bars) {
        const text = encodeBar(bar);
        texts[partitionOf(bar.symbol)]!.push(text);
        alongside.push({ channel: channels.bars(bar.symbol), text });
      }
      if (delivery.bars.length > 0) pace.flowed();
      const appends: Append[] = [];
      for (const partition of partitions) {
        const bars = texts[partition.number]!;
        if (bars.length === 0) continue;
        partition.served = true;
        appends.push(...entriesOf(partition, bars));
      }
      appends.push(...clockEntries(delivery.state === 'finished' ? () => true : isQuiet));
      return append(appends, alongside, signal);
    },

    async tick(signal) {
      if (!(await append(clockEntries(isQuiet), [], signal))) return false;
      return time.elapsedMs() - lookedAt < HEADS_CHECK_MS || look(signal);
    },

    async appendHistory(number, bars, signal) {
      const partition = partitions[number]!;
      const opened = partition.head!;
      let room = roomForHistory(partition);
      while (room === 0) {
        await time.pause(pace.lookMs(), signal);
        signal.throwIfAborted();
        await refreshWaiting(signal);
        room = roomForHistory(partition);
      }
      // The signal ends with the term: whoever comes too late for it must not append in the next one.
      signal.throwIfAborted();
      const count = Math.min(room, bars.length);
      // Counted at once, so that whoever runs beside this one does not take the same room.
      partition.waiting += count;
      partition.served = true;
      pace.appended();
      const appends: Append[] = [];
      for (let from = 0; from < count; from += ENTRY_BARS_MAX) {
        const part = bars.slice(from, Math.min(count, from + ENTRY_BARS_MAX)).map(encodeBar);
        appends.push({ partition: number, known: opened, text: encodeEntryOf(null, part), bars: part.length });
      }
      const { head, waiting } = (await send(appends, [], signal)).at(-1)!;
      partition.waiting = waiting;
      // Not taken over: whoever plays the source has to notice that it is another one.
      if (head.id !== opened.id) return null;
      moveTo(partition, head);
      appended.bars += count;
      appended.entries += appends.length;
      return { journal: head, bars: count };
    },

    async appendOrder(number, order, signal) {
      const { head } = partitions[number]!;
      if (head === null) return;
      const text = encodeEntry({ clock: null, bars: [], rebuild: order });
      const [result] = await send([{ partition: number, known: head, text, bars: 0 }], [], signal);
      if (result!.head.id !== head.id) return;
      moveTo(partitions[number]!, result!.head);
      appended.entries++;
    },

    async idle() {
      await Promise.allSettled(underWay);
    },

    journalOf: (partition) => partitions[partition]!.head?.id ?? '',
    heads() {
      const heads = partitions.map(({ head }) => head);
      return heads.every((head) => head !== null) ? heads : null;
    },
  };
}
