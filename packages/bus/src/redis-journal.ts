import { randomUUID } from 'node:crypto';
import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Fields, type Logger } from '@candlewire/runtime';
import type { Append, Appended, Bus, Journal, JournalHead, Message, ReadEntry, ReadResult } from './bus';
import { NotLeader } from './errors';
import { JOURNAL_SCRIPTS } from './journal-scripts';
import { answersOf, type Commands } from './redis-connection';

/** Messages in one script: Redis does nothing else while it runs. */
const MESSAGES_AT_ONCE = 500;

/** The journal on Redis: per partition a stream and a hash, changed by scripts alone. */
export class RedisJournal implements Journal {
  private readonly unpublished: (fields: Fields) => void;

  constructor(
    private readonly commands: Commands,
    private readonly channels: Channels,
    private readonly subscribe: Bus['subscribe'],
    logger: Logger,
  ) {
    this.unpublished = boundedLog(logger, 'publishing beside an append failed');
    for (const [name, script] of Object.entries(JOURNAL_SCRIPTS)) commands.define(name, script);
  }

  async open(partitions: number): Promise<JournalHead[]> {
    const heads = await this.commands.pipeline((pipeline) => {
      for (let p = 0; p < partitions; p++) pipeline.journalOpen(...this.keys(p), randomUUID());
    });
    return (heads as [string, number][]).map(([id, last]) => ({ id, last }));
  }

  async append(
    token: string | null,
    appends: readonly Append[],
    alongside: readonly Message[] = [],
  ): Promise<Appended[]> {
    const { leader } = this.channels;
    const fence = token ?? '';
    const { appended, publishing } = await this.commands.run(async (redis) => {
      const pipeline = redis.pipeline();
      for (const { partition, known, bars, text } of appends) {
        pipeline.journalAppend(...this.keys(partition), leader, known.id, known.last, bars, randomUUID(), text, fence);
      }
      for (let at = 0; at < alongside.length; at += MESSAGES_AT_ONCE) {
        const some = alongside.slice(at, at + MESSAGES_AT_ONCE);
        pipeline.journalPublish(leader, fence, ...some.flatMap(({ channel, text }) => [channel, text]));
      }
      const replies = (await pipeline.exec()) ?? [];
      const appended = answersOf(replies.slice(0, appends.length)) as ([string, number, number] | null)[];
      // Entries that were taken must not be appended again for messages that nobody is promised.
      const publishing = replies.slice(appends.length);
      const err = publishing.find(([failure]) => failure)?.[0];
      if (err && appends.length === 0) throw err;
      if (err) this.unpublished({ err, messages: alongside.length });
      return { appended, publishing };
    });
    const taken = appended.filter((one) => one !== null);
    const isFenced =
      taken.length < appends.length || (appends.length === 0 && publishing.some(([, one]) => one === null));
    if (isFenced) throw new NotLeader();
    return taken.map(([id, last, waiting]) => ({ head: { id, last }, waiting }));
  }

  async read(partition: number, after: JournalHead, entriesMax: number): Promise<ReadResult> {
    if (!(entriesMax >= 1)) throw new RangeError('entriesMax must be at least 1');
    const [id, last, entries] = await this.commands.run((redis) =>
      redis.journalRead(...this.keys(partition), after.id, after.last, entriesMax, randomUUID()),
    );
    return { head: { id, last }, entries: entries.map(([number, barsTotal, text]) => ({ number, barsTotal, text })) };
  }

  async consumed(partition: number, id: string, entry: ReadEntry): Promise<void> {
    await this.commands.run((redis) =>
      redis.journalConsumed(...this.keys(partition), id, entry.number, entry.barsTotal),
    );
  }

  async waiting(partitions: number): Promise<number[]> {
    const counts = await this.commands.pipeline((pipeline) => {
      for (let p = 0; p < partitions; p++) pipeline.hmget(this.channels.journalHead(p), 'bars', 'done');
    });
    return (counts as (string | null)[][]).map(([bars, done]) => Math.max(0, Number(bars ?? 0) - Number(done ?? 0)));
  }

  onAppend(partition: number, listener: () => void): Promise<() => Promise<void>> {
    return this.subscribe(this.channels.journal(partition), () => listener());
  }

  private keys(partition: number): [stream: string, head: string] {
    return [this.channels.journal(partition), this.channels.journalHead(partition)];
  }
}
