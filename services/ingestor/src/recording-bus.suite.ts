import {
  type Append,
  type Appended,
  type Bus,
  BusUnavailable,
  type Journal,
  type JournalHead,
  type Leader,
  type Message,
  NotLeader,
} from '@candlewire/bus';
import { decodeEntry, FeedStatus, type JournalEntry, PARTITIONS } from '@candlewire/contracts';

export interface RecordedEntry extends JournalEntry {
  readonly partition: number;
}

interface Recorded {
  id: string;
  texts: string[];
  bars: number;
  consumed: number;
}

/** A bus in memory that remembers what it was told, and that can be away, emptied, set back or blocked. */
export class RecordingBus implements Bus {
  readonly kind = 'redis';
  /** All entries, in the order in which they were appended; of the journals that were, too. */
  readonly entries: RecordedEntry[] = [];
  readonly published: Message[] = [];
  readonly keeps: Message[] = [];
  /** How often the journals were opened. */
  opened = 0;
  away = false;
  /** While there is one, an append waits for it after it was taken. */
  blocked: Promise<void> | null = null;
  /** Appends that were refused. */
  fenced = 0;
  /** Who leads. */
  token: string | null = null;
  private terms = 0;
  private ids = 0;
  private journals = this.empty();

  readonly journal: Journal = {
    open: async () => {
      this.reach();
      this.opened++;
      return this.journals.map(headOf);
    },
    append: async (token, appends, alongside = []) => {
      this.reach();
      if (token !== this.token) {
        this.fenced++;
        throw new NotLeader();
      }
      this.published.push(...alongside);
      const answers = appends.map((append) => this.append(append));
      await this.blocked;
      return answers;
    },
    waiting: async () => {
      this.reach();
      return this.journals.map(({ bars, consumed }) => bars - consumed);
    },
    read: () => Promise.reject(new Error('nobody reads here')),
    consumed: () => Promise.reject(new Error('nobody reads here')),
    onAppend: () => Promise.reject(new Error('nobody reads here')),
  };

  readonly leader: Leader = {
    acquire: async (owner) => {
      this.reach();
      if (this.token !== null && !this.token.endsWith(owner)) return null;
      this.token = `${++this.terms}:${owner}`;
      return this.token;
    },
    renew: async (token) => {
      this.reach();
      return token === this.token;
    },
    release: async (token) => {
      this.reach();
      if (token === this.token) this.token = null;
    },
    onRelease: async () => async () => {},
  };

  readonly demand: Bus['demand'] = {
    want: () => Promise.reject(new Error('nobody wants here')),
    wanted: async () => [],
    drop: () => Promise.reject(new Error('nobody drops here')),
    onWant: async () => async () => {},
  };

  get statuses(): FeedStatus[] {
    return this.keeps.map(({ text }) => FeedStatus.parse(JSON.parse(text)));
  }

  /** Entries of one partition. */
  of(partition: number): RecordedEntry[] {
    return this.entries.filter((entry) => entry.partition === partition);
  }

  /** The clock that each journal, as it is now, was told last. */
  clocks(): (number | null)[] {
    return this.journals.map(({ texts }) => (texts.length === 0 ? null : decodeEntry(texts.at(-1)!).entry.clock));
  }

  /** The owners have committed everything. */
  consumeAll(): void {
    for (const journal of this.journals) journal.consumed = journal.bars;
  }

  /** Redis comes back with nothing. */
  flush(): void {
    this.journals = this.empty();
  }

  /** Redis comes back without the last entry of a partition. */
  setBack(partition: number): void {
    this.journals[partition]!.texts.pop();
  }

  async keep(message: Message): Promise<void> {
    this.reach();
    this.keeps.push(message);
  }

  async publish(messages: readonly Message[]): Promise<void> {
    this.published.push(...messages);
  }

  kept = async () => this.keeps.at(-1)?.text ?? null;
  subscribe = () => Promise.reject(new Error('nobody subscribes here'));
  relay = () => Promise.reject(new Error('nobody subscribes here'));
  ping = async () => !this.away;
  onReconnect(): void {}
  async close(): Promise<void> {}

  private empty(): Recorded[] {
    return Array.from({ length: PARTITIONS }, () => ({ id: this.nextId(), texts: [], bars: 0, consumed: 0 }));
  }

  private nextId(): string {
    return `journal-${this.ids++}`;
  }

  private reach(): void {
    if (this.away) throw new BusUnavailable('redis is away');
  }

  private append({ partition, known, text, bars }: Append): Appended {
    const journal = this.journals[partition]!;
    if (journal.id === known.id && journal.texts.length < known.last) journal.id = this.nextId();
    else if (journal.id === known.id) {
      const { entry, refused } = decodeEntry(text);
      if (refused.length > 0 || entry.bars.length !== bars) throw new Error(`a bad entry: ${text.slice(0, 200)}`);
      journal.texts.push(text);
      journal.bars += bars;
      this.entries.push({ partition, ...entry });
    }
    return { head: headOf(journal), waiting: journal.bars - journal.consumed };
  }
}

function headOf({ id, texts }: Recorded): JournalHead {
  return { id, last: texts.length };
}
