import type { Bus } from '@candlewire/bus';
import { boundedLog, type Logger } from '@candlewire/runtime';

/** So long a channel stays open after its last listener: clients that reload come back to it. */
const LINGER_MS = 30_000;
/** Clients choose the names, so somebody has to count them. */
const CHANNELS_MAX = 50_000;

/** A message as it came from the bus, and its bytes, made once for all who are sent it. */
export interface HubMessage {
  readonly text: string;
  readonly bytes: Buffer;
}

export interface HubListener {
  /** Hot. */
  message(message: HubMessage): void;
  /** Messages may have been lost: the bus was away. */
  lost?(): void;
}

export interface Listening {
  /** Resolves when every later message arrives; waits while the bus is away. Rejects where the channel cannot be had. */
  readonly ready: Promise<void>;
  stop(): void;
}

/**
 * Which channels of the bus this replica's clients listen to. However many listen to one, the bus delivers it once: the
 * first opens the channel, the last one lets it go, a while later.
 */
export interface Hub {
  listen(channel: string, listener: HubListener): Listening;
  /** The newest message on a channel that is open, unless later ones may have been lost; null where there was none. */
  last(channel: string): HubMessage | null;
  /** Lets go of every channel. */
  close(): void;
}

interface Entry {
  readonly listeners: Set<HubListener>;
  readonly opened: Promise<() => Promise<void>>;
  last: HubMessage | null;
  lingering: NodeJS.Timeout | null;
}

export interface HubOptions {
  readonly lingerMs?: number;
  readonly channelsMax?: number;
}

export function createHub(
  bus: Pick<Bus, 'subscribe' | 'onReconnect'>,
  logger: Logger,
  { lingerMs = LINGER_MS, channelsMax = CHANNELS_MAX }: HubOptions = {},
): Hub {
  const entries = new Map<string, Entry>();
  const logFailure = boundedLog(logger, 'hub listener failed');
  const logRefused = boundedLog(logger, 'channel not opened');

  /** A listener that fails is its own owner's trouble, not that of the others. */
  function tell(channel: string, act: () => void): void {
    try {
      act();
    } catch (err) {
      logFailure({ channel, err });
    }
  }

  function open(channel: string): Entry {
    const listeners = new Set<HubListener>();
    const opened = bus.subscribe(channel, (text) => {
      const message: HubMessage = { text, bytes: Buffer.from(text) };
      entry.last = message;
      for (const listener of listeners) tell(channel, () => listener.message(message));
    });
    const entry: Entry = { listeners, opened, last: null, lingering: null };
    entries.set(channel, entry);
    opened.catch((err: unknown) => {
      logRefused({ channel, err });
      if (entries.get(channel) === entry) entries.delete(channel);
    });
    return entry;
  }

  /** Nobody waits for it: while the bus is away a channel is neither opened nor closed. */
  function shut(channel: string, entry: Entry): void {
    if (entry.lingering !== null) clearTimeout(entry.lingering);
    if (entries.get(channel) === entry) entries.delete(channel);
    entry.opened
      .then((unsubscribe) => unsubscribe())
      // One that could not be opened was told of already, and needs no closing.
      .catch(() => {});
  }

  function release(channel: string, entry: Entry): void {
    if (entry.listeners.size > 0 || entry.lingering !== null) return;
    entry.lingering = setTimeout(() => {
      shut(channel, entry);
    }, lingerMs);
    entry.lingering.unref();
  }

  bus.onReconnect(() => {
    for (const [channel, entry] of entries) {
      entry.last = null;
      for (const listener of entry.listeners) tell(channel, () => listener.lost?.());
    }
  });

  return {
    listen(channel, listener) {
      let entry = entries.get(channel);
      if (entry === undefined) {
        if (entries.size >= channelsMax) {
          return { ready: Promise.reject(new Error(`more than ${channelsMax} channels`)), stop: () => {} };
        }
        entry = open(channel);
      }
      const held = entry;
      if (held.lingering !== null) clearTimeout(held.lingering);
      held.lingering = null;
      held.listeners.add(listener);
      return {
        ready: held.opened.then(() => {}),
        stop() {
          if (held.listeners.delete(listener)) release(channel, held);
        },
      };
    },
    last: (channel) => entries.get(channel)?.last ?? null,
    close() {
      for (const [channel, entry] of entries) shut(channel, entry);
    },
  };
}
