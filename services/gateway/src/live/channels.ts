import type { Bus } from '@candlewire/bus';

/** So long a channel stays open after its last follower: clients that reload come back to it. */
const LINGER_MS = 30_000;
/** Clients choose the names, so somebody has to count them. */
const CHANNELS_MAX = 50_000;

/** No more channels are opened: others must go first. */
export class TooManyChannels extends Error {
  constructor(max: number) {
    super(`more than ${max} channels`);
    this.name = 'TooManyChannels';
  }
}

/** A channel of the bus that is open, and what hears it: one object for all who use it. */
export class Open<Hearer> {
  users = 0;
  lingering: NodeJS.Timeout | null = null;
  /** Resolves when every later message arrives; waits while the bus is away. */
  readonly ready: Promise<void>;

  constructor(
    readonly hearer: Hearer,
    readonly opened: Promise<() => Promise<void>>,
    private readonly whenUnused: (self: Open<Hearer>) => void,
  ) {
    this.ready = opened.then(() => {});
  }

  /** Called by each who was given it, once. */
  release(): void {
    if (--this.users === 0) this.whenUnused(this);
  }
}

/**
 * Which channels of the bus this replica listens to. However many clients follow one, the bus delivers it once: the first
 * opens it, the last one lets it go, a while later. (That the two never overtake each other on the bus, the bus sees to.)
 */
export class OpenChannels<Hearer extends { hear(bytes: Buffer): void; close?(): void }> {
  private readonly entries = new Map<string, Open<Hearer>>();

  /** @param onRefused hears of channels that could not be opened */
  constructor(
    private readonly bus: Pick<Bus, 'relay'>,
    private readonly onRefused: (channel: string, err: unknown) => void,
    private readonly lingerMs: number = LINGER_MS,
    private readonly channelsMax: number = CHANNELS_MAX,
  ) {}

  /** @throws TooManyChannels */
  use(channel: string, make: () => Hearer): Open<Hearer> {
    const entry = this.entries.get(channel) ?? this.open(channel, make());
    entry.users++;
    if (entry.lingering !== null) clearTimeout(entry.lingering);
    entry.lingering = null;
    return entry;
  }

  /** What hears the channels that are open. */
  *hearers(): Generator<Hearer> {
    for (const { hearer } of this.entries.values()) yield hearer;
  }

  /** Lets go of every channel. */
  close(): void {
    for (const [channel, entry] of this.entries) this.shut(channel, entry);
  }

  private open(channel: string, hearer: Hearer): Open<Hearer> {
    if (this.entries.size >= this.channelsMax) throw new TooManyChannels(this.channelsMax);
    const opened = this.bus.relay(channel, (bytes) => hearer.hear(bytes));
    const entry = new Open(hearer, opened, (unused) => this.linger(channel, unused));
    this.entries.set(channel, entry);
    entry.ready.catch((err: unknown) => {
      this.onRefused(channel, err);
      if (this.entries.get(channel) === entry) this.entries.delete(channel);
    });
    return entry;
  }

  private linger(channel: string, entry: Open<Hearer>): void {
    if (this.entries.get(channel) !== entry) return;
    entry.lingering = setTimeout(() => this.shut(channel, entry), this.lingerMs);
    // A process that ends need not wait for it.
    entry.lingering.unref();
  }

  /** Nobody waits for it: while the bus is away a channel is neither opened nor closed. */
  private shut(channel: string, entry: Open<Hearer>): void {
    if (entry.lingering !== null) clearTimeout(entry.lingering);
    if (this.entries.get(channel) === entry) this.entries.delete(channel);
    entry.hearer.close?.();
    entry.opened
      .then((unsubscribe) => unsubscribe())
      // One that could not be opened was told of already, and needs no closing.
      .catch(() => {});
  }
}
