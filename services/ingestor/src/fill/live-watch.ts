import type { JournalHead } from '@candlewire/bus';
import { MINUTE_MS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { Delivery } from '../sources/source';
import type { Time } from '../time';

const BEAT_MS = 5_000;
/** A bar may come so long after the clock has passed the end of its minute, its first update included. */
const LAG_MS = 60_000;

export interface LiveWatchOptions {
  readonly store: Pick<Store, 'allConsumed' | 'beginLive' | 'vouch' | 'liveSymbols'>;
  /** The journals as whoever appends to them knows them: another one in the place of one would have lost what that held. */
  readonly heads: () => readonly JournalHead[] | null;
  /** Symbols whose bars flow while the source is live. */
  readonly delivers: () => readonly string[];
  /** Of those, what was missed since the last call, each with the minute from which nothing is certain, up to now. */
  readonly takeMissed?: (() => ReadonlyMap<string, number>) | undefined;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * Writes down what the live stream vouches for: that a symbol without a bar had no trade.
 *
 * States: away (nothing is vouched for) → begun, with the delivery that says that the source is live (a stretch gets its
 * number) → away. A stretch vouches up to the source's clock, once all that stood in the journals at that clock has been
 * committed: what is lost with a journal was never vouched for. A heartbeat costs the same however many symbols there are.
 */
export interface LiveWatch {
  /** @returns whether a stretch begins with it */
  delivered(delivery: Pick<Delivery, 'state' | 'clock'>): boolean;
  interrupted(): void;
  /** Resolves when the stretch that goes on is known to the store; rejects where it ended before. */
  begun(): Promise<void>;
  /** The number of the stretch that goes on. */
  session(): number | null;
  run(signal: AbortSignal): Promise<void>;
}

interface Stretch {
  readonly since: number;
  readonly known: Promise<void>;
  readonly setKnown: () => void;
  readonly giveUp: () => void;
  id: number | null;
  /** The store has its symbols, too. */
  isKnown: boolean;
  clock: number | null;
  /** What was appended when the clock stood there. */
  appended: { readonly clock: number; readonly heads: readonly JournalHead[] } | null;
  vouchedTo: number;
  readonly symbols: Set<string>;
  /** Of some of them, from when on something was missed; not yet told to the store. */
  readonly missed: Map<string, number>;
  lookedAt: number;
}

export function createLiveWatch(options: LiveWatchOptions): LiveWatch {
  const { store, heads, delivers, takeMissed, time, logger } = options;
  const logWaiting = boundedLog(logger, 'live minutes not vouched for', { first: 1 });
  let current: Stretch | null = null;
  /** Stretches that are over, of which the store does not know yet what was missed. */
  const overdue: Stretch[] = [];
  let changed = new AbortController();

  function begin(): void {
    interrupted();
    current = stretchFrom(time.now());
    changed.abort();
  }

  function interrupted(): void {
    if (current === null) return;
    current.giveUp();
    noteMissed(current);
    if (current.missed.size > 0) overdue.push(current);
    current = null;
  }

  function noteMissed({ missed }: Stretch): void {
    for (const [symbol, from] of takeMissed?.() ?? []) missed.set(symbol, Math.min(from, missed.get(symbol) ?? from));
  }

  async function beat(stretch: Stretch): Promise<void> {
    const id = stretch.id ?? (await store.beginLive(stretch.since));
    stretch.id = id;
    await tellSymbols(stretch, id);
    if (stretch !== current) return;
    stretch.isKnown = true;
    stretch.setKnown();
    const { appended, clock } = stretch;
    if (appended !== null) {
      if (covers(await store.allConsumed(), appended.heads)) {
        stretch.vouchedTo = Math.max(stretch.vouchedTo, minuteOf(appended.clock - LAG_MS));
        stretch.appended = null;
      }
      // What ended it meanwhile may have been the loss of what it would vouch for.
      if (stretch !== current) return;
      await store.vouch(id, stretch.vouchedTo);
    }
    // The clock first: what is appended after it is too much, not too little.
    const now = heads();
    if (clock !== null && now !== null) stretch.appended ??= { clock, heads: now };
  }

  async function tellSymbols(stretch: Stretch, id: number): Promise<void> {
    const now = time.now();
    noteMissed(stretch);
    await tellMissed(stretch, id);
    const flowing = new Set(delivers());
    const added = [...flowing].filter((symbol) => !stretch.symbols.has(symbol));
    const removed = [...stretch.symbols].filter((symbol) => !flowing.has(symbol));
    if (added.length + removed.length > 0) {
      await store.liveSymbols(id, {
        added,
        since: minuteOf(now) + MINUTE_MS,
        removed,
        // Of a feed that is behind the wall clock the last minutes before that look had not come yet.
        until: minuteOf(Math.min(stretch.lookedAt, stretch.clock ?? stretch.since)),
      });
      for (const symbol of added) stretch.symbols.add(symbol);
      for (const symbol of removed) stretch.symbols.delete(symbol);
    }
    stretch.lookedAt = now;
  }

  /** Those leave the stretch with the minute before, and may come back to it. */
  async function tellMissed({ missed, symbols }: Stretch, id: number): Promise<void> {
    for (const until of new Set(missed.values())) {
      const removed = [...missed.keys()].filter((symbol) => missed.get(symbol) === until);
      await store.liveSymbols(id, { added: [], since: until, removed, until });
      for (const symbol of removed) {
        missed.delete(symbol);
        symbols.delete(symbol);
      }
    }
  }

  async function tellOverdue(): Promise<void> {
    for (let stretch = overdue[0]; stretch !== undefined; stretch = overdue[0]) {
      if (stretch.id !== null) await tellMissed(stretch, stretch.id);
      overdue.shift();
    }
  }

  return {
    delivered({ state, clock }) {
      if (state === 'live') begin();
      else if (state !== undefined) interrupted();
      if (current !== null && clock !== null) current.clock = clock;
      return state === 'live';
    },
    interrupted,
    begun: () => current?.known ?? Promise.reject(new Error('not live')),
    session: () => (current?.isKnown ? current.id : null),

    async run(signal) {
      const stop = () => changed.abort();
      signal.addEventListener('abort', stop);
      while (!signal.aborted) {
        // Made before the beat: what begins while it is under way is told right after it.
        changed = new AbortController();
        const stretch = current;
        const act = async () => {
          await tellOverdue();
          if (stretch !== null && stretch === current) await beat(stretch);
        };
        await retry(act, { signal, onFailure: (err, attempt) => logWaiting({ err, attempt }) });
        if (!signal.aborted) await time.pause(BEAT_MS, changed.signal);
      }
      signal.removeEventListener('abort', stop);
      interrupted();
    },
  };
}

function stretchFrom(now: number): Stretch {
  let setKnown = () => {};
  let giveUp = () => {};
  const known = new Promise<void>((resolve, reject) => {
    setKnown = resolve;
    giveUp = () => reject(new Error('the stream was interrupted'));
  });
  // Whoever waits for it hears of it; nobody has to.
  known.catch(() => {});
  const since = minuteOf(now) + MINUTE_MS;
  return {
    since,
    known,
    setKnown,
    giveUp,
    id: null,
    isKnown: false,
    clock: null,
    appended: null,
    vouchedTo: since,
    symbols: new Set(),
    missed: new Map(),
    lookedAt: now,
  };
}

const minuteOf = (ms: number) => ms - (ms % MINUTE_MS);

function covers(consumed: readonly JournalHead[], heads: readonly JournalHead[]): boolean {
  return heads.every(({ id, last }, partition) => {
    const stored = consumed[partition];
    return last === 0 || (stored !== undefined && stored.id === id && stored.last >= last);
  });
}
