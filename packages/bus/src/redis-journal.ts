import { randomUUID } from 'node:crypto';
import type { Channels } from '@candlewire/contracts';
import { boundedLog, type Fields, type Logger } from '@candlewire/runtime';
import type { Append, Appended, Bus, Journal, JournalHead, Message, ReadEntry, ReadResult } from './bus';
import { JOURNAL_SCRIPTS } from './journal-scripts';
import { answersOf, type Commands } from './redis-connection';

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
    for (const [name, lua] of Object.entries(JOURNAL_SCRIPTS)) commands.define(name, { lua, numberOfKeys: 2 });
  }

  async open(partitions: number): Promise<JournalHead[]> {
    const heads = await this.commands.pipeline((pipeline) => {
      for (let p = 0; p < partitions; p++) pipeline.journalOpen(...this.keys(p), randomUUID());
    });
    return (heads as [string, number][]).map(([id, last]) => ({ id, last }));
  }

  append(appends: readonly Append[], alongside: readonly Message[] = []): Promise<Appended[]> {
    return this.commands.run(async (redis) => {
      const pipeline = redis.pipeline();
      for (const { partition, known, bars, text } of appends) {
        pipeline.journalAppend(...this.keys(partition), known.id, known.last, bars, randomUUID(), text);
      }
      for (const { channel, text } of alongside) pipeline.publish(channel, text);
      const replies = (await pipeline.exec()) ?? [];
      const appended = answersOf(replies.slice(0, appends.length)) as [string, number, number][];
      // Entries that were taken must not be appended again for messages that nobody is promised.
      const err = replies.slice(appends.length).find(([failure]) => failure)?.[0];
      if (err && appends.length === 0) throw err;
      if (err) this.unpublished({ err, messages: alongside.length });
      return appended.map(([id, last, waiting]) => ({ head: { id, last }, waiting }));
    });
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
