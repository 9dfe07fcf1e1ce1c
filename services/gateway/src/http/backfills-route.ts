import type { MarketCalendar } from '@candlewire/candles';
import { ApiError, type BackfillResponse, DAY_MS, MINUTE_MS, toIso } from '@candlewire/contracts';
import type { BackfillReport } from '@candlewire/store';
import type { Router } from 'express';
import type { Reads, Writes } from '../bound-store';
import { unknownSymbol } from './errors';
import { invalid, rangeOf, symbolListOf } from './params';
import { workRoute } from './work-route';

const SYMBOLS_MAX = 100;
const RANGE_DAYS_MAX = 20 * 366;

export interface BackfillsRouteDeps {
  readonly store: Pick<Reads, 'backfill' | 'knowsSymbol' | 'keptFrom'> & Pick<Writes, 'requestBackfill'>;
  readonly calendar: MarketCalendar;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
}

/** `/api/backfills`: has history fetched (again), and tells how far that has come. */
export function backfillsRoute({ store, calendar, now }: BackfillsRouteDeps): Router {
  return workRoute({
    path: '/api/backfills',
    name: 'backfill',
    async request(fields) {
      const symbols = symbolListOf(fields.symbols, SYMBOLS_MAX);
      const isOpen = (fields.end ?? null) === null || fields.end === '';
      const span = spanOf(fields, calendar, now());
      for (const symbol of symbols) if (!(await store.knowsSymbol(symbol))) throw unknownSymbol(symbol);
      const keptFrom = await store.keptFrom(symbols);
      // What would be fetched before it would be refused, and said to be done.
      if (keptFrom !== null && span.from < keptFrom)
        throw invalid('start', `minutes before ${toIso(keptFrom)} are not kept`);
      // Without an end it is the same wish a minute later.
      const wanted = JSON.stringify([symbols, span.from, isOpen ? null : span.to]);
      const id = await store.requestBackfill(wanted, symbols, span);
      if (id === null) throw new ApiError('unavailable', 'too many backfills are waiting; try again later');
      return backfillBody((await store.backfill(id))!);
    },
    async show(id) {
      const report = await store.backfill(id);
      return report && backfillBody(report);
    },
  });
}

/** Whole minutes: from <= openTime < to. What is not over yet cannot be fetched. */
function spanOf(
  { start, end }: Readonly<Record<string, unknown>>,
  calendar: MarketCalendar,
  nowMs: number,
): { from: number; to: number } {
  const query: Record<string, string> = {};
  for (const [name, value] of Object.entries({ start, end })) {
    if (value !== undefined && value !== null && typeof value !== 'string') throw invalid(name, 'must be a text');
    query[name] = value ?? '';
  }
  const range = rangeOf(query, calendar);
  if (range.from === null)
    throw invalid('start', 'must be given: an RFC 3339 instant with zone, or a day (2025-11-03)');
  const from = Math.ceil(range.from / MINUTE_MS) * MINUTE_MS;
  const nowMinute = nowMs - (nowMs % MINUTE_MS);
  const to = Math.min(range.to === null ? nowMinute : range.to - (range.to % MINUTE_MS) + MINUTE_MS, nowMinute);
  if (from >= to) throw invalid('start', 'must lie at least a minute back, and not after end');
  if (to - from > RANGE_DAYS_MAX * DAY_MS) throw invalid('start', `must be at most ${RANGE_DAYS_MAX} days before end`);
  return { from, to };
}

/** A backfill as callers see it; start and end inclusive. */
function backfillBody(report: BackfillReport): BackfillResponse {
  const { id, from, to, requestedAt, finishedAt, reason, parts } = report;
  const sum = (of: (part: (typeof parts)[number]) => number) => parts.reduce((total, part) => total + of(part), 0);
  const isPlanned = parts.every(({ jobsTotal }) => jobsTotal !== null);
  const isDone = finishedAt !== null;
  const hasBegun = parts.some(({ running, jobsDone }) => running + jobsDone > 0);
  return {
    id,
    state: isDone ? (reason === null ? 'done' : 'failed') : hasBegun ? 'running' : 'queued',
    reason,
    start: toIso(from),
    end: toIso(to - MINUTE_MS),
    requested_at: toIso(requestedAt),
    finished_at: finishedAt === null ? null : toIso(finishedAt),
    jobs_done: sum(({ jobsDone }) => jobsDone),
    jobs_total: isPlanned ? sum(({ jobsTotal }) => jobsTotal!) : null,
    bars: sum(({ bars }) => bars),
    symbols: parts.map((part) => ({
      symbol: part.symbol,
      state: stateOf(part, isDone),
      reason: part.reason,
      jobs_done: part.jobsDone,
      jobs_total: part.jobsTotal,
      bars: part.bars,
    })),
  };
}

function stateOf(part: BackfillReport['parts'][number], isDone: boolean): BackfillResponse['state'] {
  const { failed, running, jobsDone, jobsTotal } = part;
  const isOver = isDone || (jobsTotal !== null && jobsDone >= jobsTotal);
  if (isOver) return failed || (isDone && jobsDone < (jobsTotal ?? 1)) ? 'failed' : 'done';
  return running + jobsDone > 0 ? 'running' : 'queued';
}
