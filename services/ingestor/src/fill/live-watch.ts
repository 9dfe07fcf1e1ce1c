import type { Journal, JournalHead } from '@candlewire/bus';
import { MINUTE_MS, PARTITIONS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { Delivery } from '../sources/source';
import type { Time } from '../time';

const BEAT_MS = 5_000;
/** A bar may come so long after the clock has passed the end of its minute, its first update included. */
const LAG_MS = 60_000;
const NONE_MISSED: ReadonlyMap<string, number> = new Map();

export interface LiveWatchOptions {
  readonly store: Pick<Store, 'allConsumed' | 'beginLive' | 'vouch' | 'liveSymbols'>;
  readonly journal: Pick<Journal, 'open'>;
  /** Symbols whose bars flow while the source is live. */
  readonly delivers: () => readonly string[];
  /** Of those, the ones of which a bar is known that did not come, each with the first minute that is uncertain. */
  readonly missed?: (() => ReadonlyMap<string, number>) | undefined;
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
  lookedAt: number;
}

export function createLiveWatch({ store, journal, delivers, missed, time, logger }: LiveWatchOptions): LiveWatch {
  const logWaiting = boundedLog(logger, 'live minutes not vouched for', { first: 1 });
  let current: Stretch | null = null;
  let changed = new AbortController();

  function begin(): void {
    interrupted();
    current = stretchFrom(time.now());
    changed.abort();
  }

  function interrupted(): void {
    current?.giveUp();
    current = null;
  }

  async function beat(stretch: Stretch): Promise<void> {
    const id = stretch.id ?? (await store.beginLive(stretch.since));
    stretch.id = id;
    await tellSymbols(stretch, id);
    stretch.isKnown = true;
    stretch.setKnown();
    const { appended, clock } = stretch;
    if (appended !== null) {
      if (covers(await store.allConsumed(), appended.heads)) {
        stretch.vouchedTo = Math.max(stretch.vouchedTo, minuteOf(appended.clock - LAG_MS));
        stretch.appended = null;
      }
      await store.vouch(id, stretch.vouchedTo);
    }
    // The clock first: what is appended after it is too much, not too little.
    if (clock !== null) stretch.appended ??= { clock, heads: await journal.open(PARTITIONS) };
  }

  async function tellSymbols(stretch: Stretch, id: number): Promise<void> {
    const now = time.now();
    const gone = missed?.() ?? NONE_MISSED;
    const flowing = new Set(delivers().filter((symbol) => !gone.has(symbol)));
    const added = [...flowing].filter((symbol) => !stretch.symbols.has(symbol));
    const removed = [...stretch.symbols].filter((symbol) => !flowing.has(symbol));
    const since = minuteOf(now) + MINUTE_MS;
    // Of a feed that is behind the wall clock the last minutes before that look had not come yet.
    const seen = minuteOf(Math.min(stretch.lookedAt, stretch.clock ?? stretch.since));
    const untils = new Map<number, string[]>(added.length > 0 ? [[seen, []]] : []);
    for (const symbol of removed) {
      const until = Math.min(seen, gone.get(symbol) ?? seen);
      untils.set(until, [...(untils.get(until) ?? []), symbol]);
    }
    let news = added;
    for (const [until, symbols] of untils) {
      await store.liveSymbols(id, { added: news, since, removed: symbols, until });
      news = [];
    }
    for (const symbol of added) stretch.symbols.add(symbol);
    for (const symbol of removed) stretch.symbols.delete(symbol);
    stretch.lookedAt = now;
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
        if (stretch !== null) {
          const act = () => (stretch === current ? beat(stretch) : Promise.resolve());
          await retry(act, { signal, onFailure: (err, attempt) => logWaiting({ err, attempt }) });
        }
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
