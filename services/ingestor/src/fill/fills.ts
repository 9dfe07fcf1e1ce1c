import type { MarketCalendar } from '@candlewire/candles';
import { HOUR_MS, MINUTE_MS } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { FillKey, PlannedFill, Store } from '@candlewire/store';
import type { JournalWriter } from '../journal-writer';
import { type Delivery, HistoryRefused, RateLimited, type Source } from '../sources/source';
import type { Time } from '../time';
import { type FillCounters, type FillQueue, type FillQueueOptions, openFillQueue } from './fill-queue';
import { fillRange } from './fill-range';
import { createLiveWatch } from './live-watch';
import { createPacer, type PacerCounters } from './pacer';
import { type PlanRules, planBackfill, planFills, settledBefore } from './plan';

/** How often it is looked whether somebody asked for a backfill, and whether the queue has room again. */
const LOOK_MS = 1_000;
/** How often the store is compared with what there should be, where nothing happens. */
const PLAN_MS = 60_000;
/** Ranges in the queue that nobody asked for, and as many that somebody did. What is beyond is planned when there is room. */
const QUEUED_MAX = 1_000;
/** Where a source does not say how late its corrections come. */
const MARGIN_MS = HOUR_MS;
/** The feed is said to be backfilling for so long at the most: a source that stops while it does must not go unnoticed. */
const CATCHING_UP_MAX_MS = 5 * MINUTE_MS;
const NO_HISTORY = 'this source has no history';
const SESSIONS = ['pre', 'regular', 'post'] as const;

/** What filling needs of the store. */
export type FillStore = Pick<
  Store,
  | 'activeSymbols'
  | 'historyOf'
  | 'historyBegins'
  | 'consumed'
  | 'allConsumed'
  | 'describeSource'
  | 'beginLive'
  | 'vouch'
  | 'liveSymbols'
  | 'addFills'
  | 'takeUpFills'
  | 'pendingFills'
  | 'noteFill'
  | 'answered'
  | 'endFill'
  | 'openBackfills'
  | 'planBackfill'
  | 'finishBackfill'
>;

export interface FillsOptions {
  readonly source: Pick<
    Source,
    'history' | 'historyDaysAtOnce' | 'otherRequestsPerMin' | 'settledAfterMs' | 'statuses' | 'delivers' | 'takeMissed'
  >;
  readonly writer: Pick<JournalWriter, 'appendHistory' | 'journalOf' | 'heads'>;
  readonly store: FillStore;
  /** DATABASE_URL */
  readonly databaseUrl: string;
  readonly calendar: MarketCalendar;
  readonly historyDays: number;
  /** Requests that the source may get in a minute; Infinity: as many as there are. */
  readonly maxPerMin: number;
  /** What the source is asked for. */
  readonly symbols: () => readonly string[];
  readonly time: Time;
  readonly logger: Logger;
}

export interface FillsCounters extends FillCounters, PacerCounters {
  /** Bars of history appended to the journals. */
  readonly bars: number;
}

/**
 * Fetches what the store lacks: the first days of a symbol, what was missed while no live bars flowed, each day once more
 * after its close, and what somebody asked for.
 *
 * What is missing follows from the store alone: what history has answered and what the live stream vouches for is written
 * down there, and all the rest is fetched. So it does not matter who noticed an interruption, or whether anybody did.
 */
export interface Fills {
  /** Hears of every delivery, once it stands in the journals. */
  delivered(delivery: Pick<Delivery, 'state' | 'clock'>): void;
  /** No live bars flow, or those that did may have been lost. */
  interrupted(): void;
  /** Something may be missing that was not before: it is looked for at once. */
  wake(): void;
  /** Whether live bars flow and what was missed of the current day is still being fetched. */
  isCatchingUp(): boolean;
  /** Plans, and does the work, until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  counters(): FillsCounters;
  /** Ranges that are still to be filled, as of the last look; those that were given up are none. */
  queued(): number;
}

export function createFills(options: FillsOptions): Fills {
  const { source, writer, store, databaseUrl, calendar, historyDays, time, logger } = options;
  const { history, statuses = SESSIONS, settledAfterMs = MARGIN_MS, historyDaysAtOnce = 1 } = source;
  const { otherRequestsPerMin = 0 } = source;
  const logWaiting = boundedLog(logger, 'history waits for the store', { first: 1 });
  const pacer = createPacer(Math.max(1, options.maxPerMin - otherRequestsPerMin), time);
  const live = createLiveWatch({
    ...options,
    heads: writer.heads,
    delivers: source.delivers ?? options.symbols,
    takeMissed: source.takeMissed,
  });
  /** Ranges of the current day that are worked on for the first time, by their names. */
  const catchingUp = new Set<string>();
  let caughtUpBy = Number.NEGATIVE_INFINITY;
  let bars = 0;
  /** Planned, and perhaps not in the queue yet: what the store has of them is not planned again. */
  let unqueued: readonly PlannedFill[] = [];
  let counters: FillQueue['counters'] = { ranges: 0, failures: 0 };
  let queued = 0;
  let woken = new AbortController();
  let planAt = Number.NEGATIVE_INFINITY;

  const persist = <T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> =>
    retry(act, { signal, onFailure: (err, attempt) => logWaiting({ err, attempt }) });

  const rules = (room: number): PlanRules => ({
    calendar,
    statuses,
    historyDays,
    marginMs: settledAfterMs,
    daysAtOnce: historyDaysAtOnce,
    session: live.session(),
    room,
  });

  function wake(): void {
    planAt = Number.NEGATIVE_INFINITY;
    woken.abort();
  }

  /** What is missing by now is remembered in the store, and then queued. */
  async function planMissing(queue: FillQueue, room: number): Promise<void> {
    const { ranges, isCut, begins } = planFills(await store.historyOf(), time.now(), rules(room));
    if (live.session() !== null) noteCatchingUp(ranges);
    await enqueue(queue, ranges);
    // Only now: whoever dies before it plans the same once more.
    if (begins.symbols.length > 0) await store.historyBegins(begins.symbols, begins.from);
    if (isCut) planAt = Number.NEGATIVE_INFINITY;
    if (ranges.length > 0) logger.info('history planned', { first: begins.symbols.length, ranges: ranges.length });
  }

  function noteCatchingUp(ranges: readonly PlannedFill[]): void {
    for (const range of ranges) if (range.priority === 1) catchingUp.add(nameOf(range));
  }

  async function enqueue(queue: FillQueue, ranges: readonly PlannedFill[]): Promise<void> {
    unqueued = [...unqueued, ...ranges];
    if (unqueued.length === 0) return;
    await store.addFills(unqueued);
    await queue.add(unqueued);
    unqueued = [];
  }

  async function planAsked(queue: FillQueue | null, room: number): Promise<void> {
    const now = time.now();
    for (const { id, from, to, parts } of await store.openBackfills()) {
      if (queue === null) {
        await store.finishBackfill(id, NO_HISTORY);
        continue;
      }
      const asked = { from, to };
      const open = parts.map(({ symbol, done, pending }) => ({ symbol, taken: [...done, ...pending] }));
      if (parts.some(({ jobsTotal }) => jobsTotal === null)) {
        const one = { symbol: '', taken: [] };
        const all = planBackfill(id, asked, [one], now, rules(Number.MAX_SAFE_INTEGER));
        await joinHistory(
          parts.map(({ symbol }) => symbol),
          from,
          to,
        );
        await store.planBackfill(id, all.length);
        logger.info('backfill begins', { id, symbols: parts.length, ranges: all.length * parts.length });
      }
      const ranges = room > 0 ? planBackfill(id, asked, open, now, rules(room)) : [];
      await enqueue(queue, ranges);
      room -= ranges.length;
      if (room <= 0 || ranges.length > 0 || parts.some(({ pending }) => pending.length > 0)) continue;
      const reasons = parts.flatMap(({ symbol, reason }) => (reason === null ? [] : [`${symbol}: ${reason}`]));
      await store.finishBackfill(id, reasons.length === 0 ? null : reasons.join('; '));
      logger.info('backfill finished', { id, reasons });
    }
  }

  /** What reaches up to the history that a symbol has anyway becomes part of it: from then on nothing may be missing there. */
  async function joinHistory(symbols: readonly string[], from: number, to: number): Promise<void> {
    const joined = (await store.historyOf(symbols)).filter(
      ({ historyFrom }) => historyFrom !== null && historyFrom <= to,
    );
    if (joined.length > 0)
      await store.historyBegins(
        joined.map(({ symbol }) => symbol),
        from,
      );
  }

  async function look(queue: FillQueue | null): Promise<void> {
    if (queue !== null) await enqueue(queue, []);
    const { planned, asked } = await store.pendingFills();
    queued = planned + asked;
    await planAsked(queue, QUEUED_MAX - asked);
    if (queue === null || time.elapsedMs() < planAt || planned > QUEUED_MAX / 2) return;
    // Said before it is done: who wakes it meanwhile wants another look.
    planAt = time.elapsedMs() + PLAN_MS;
    try {
      await planMissing(queue, QUEUED_MAX - planned);
    } catch (err) {
      planAt = Number.NEGATIVE_INFINITY;
      throw err;
    }
  }

  async function planAgainAndAgain(queue: FillQueue | null, signal: AbortSignal): Promise<void> {
    const stop = () => woken.abort();
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        // Made before the look: what is told while it is under way is looked at right after it.
        woken = new AbortController();
        await persist(() => look(queue), signal);
        if (!signal.aborted) await time.pause(LOOK_MS, woken.signal);
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  const work: FillQueueOptions['work'] = async (fill, known, save, signal) => {
    try {
      return await workOn(fill, known, save, signal);
    } catch (err) {
      // Whatever was tried when the signal came was given up for it.
      if (signal.aborted) return 'interrupted';
      if (err instanceof RateLimited) {
        pacer.hold(err.retryAfterMs);
        await settle(fill, `${err.message} for ${Math.ceil(err.retryAfterMs / 1_000)} s`);
        return err.retryAfterMs;
      }
      if (!(err instanceof HistoryRefused)) throw err;
      logger.warn('history refused', { ...fill, reason: err.message });
      await end(fill, err.message);
      return 'done';
    }
  };

  const workOn: FillQueueOptions['work'] = async (fill, known, save, signal) => {
    // Nobody wants it any more; who registers the symbol again has it planned again.
    if (fill.backfill === '' && !(await store.activeSymbols()).includes(fill.symbol)) {
      await end(fill, null);
      return 'done';
    }
    await store.noteFill(fill, { state: 'running', reason: null, bars: 0 });
    const saveBoth: Parameters<typeof fillRange>[2] = async (progress, count) => {
      await save(progress);
      bars += count;
      if (count > 0) await store.noteFill(fill, { state: 'running', reason: null, bars: count });
    };
    const deps = { history: history!, writer, store, turn: pacer.turn, time };
    const outcome = await fillRange(fill, known, saveBoth, deps, signal);
    if (outcome.state !== 'stored') return outcome.state;
    const { next, fetchedAt, notBefore } = outcome.progress;
    await store.answered(fill, next, settledBefore(fetchedAt, calendar));
    // Who asked for it gets what there is; the rest is missing, and fetched as whatever is missing.
    if (next >= fill.to || fill.backfill !== '') {
      await end(fill, null);
      return 'done';
    }
    await settle(fill, `the source has answered up to ${new Date(next).toISOString()}`);
    return notBefore - time.now();
  };

  /** A range has been looked at, and has to wait. */
  async function settle(fill: FillKey, reason: string): Promise<void> {
    catchingUp.delete(nameOf(fill));
    await store.noteFill(fill, { state: 'waiting', reason, bars: 0 });
  }

  async function end(fill: FillKey, reason: string | null): Promise<void> {
    catchingUp.delete(nameOf(fill));
    await store.endFill(fill, reason);
  }

  const onFailure: FillQueueOptions['onFailure'] = (fill, err, isLast) =>
    isLast ? end(fill, err.message) : settle(fill, err.message);

  async function fill(signal: AbortSignal): Promise<void> {
    await persist(() => store.describeSource({ statuses, hasHistory: history !== undefined }), signal);
    if (history === undefined) return planAgainAndAgain(null, signal);
    const queue = await persist(() => openFillQueue({ url: databaseUrl, logger, work, onFailure }), signal);
    counters = queue.counters;
    try {
      // The queue may lack what the store knows of: its job was given up, or never made.
      await persist(async () => queue.add(await store.takeUpFills()), signal);
      await Promise.all([planAgainAndAgain(queue, signal), live.run(signal)]);
    } finally {
      await queue.close();
    }
  }

  return {
    counters: () => ({ bars, ...counters, ...pacer.counters }),
    queued: () => queued,
    wake,
    interrupted: live.interrupted,
    isCatchingUp: () => live.session() !== null && catchingUp.size > 0 && time.elapsedMs() < caughtUpBy,

    delivered(delivery) {
      if (live.delivered(delivery)) {
        caughtUpBy = time.elapsedMs() + CATCHING_UP_MAX_MS;
        live.begun().then(wake, () => {});
      }
    },

    async run(signal) {
      try {
        await fill(signal);
      } catch (err) {
        if (!signal.aborted) throw err;
      }
    },
  };
}

const nameOf = ({ symbol, from, to, backfill }: FillKey) => `${symbol} ${from} ${to} ${backfill}`;
