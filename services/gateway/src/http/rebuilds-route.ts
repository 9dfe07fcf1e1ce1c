import { randomUUID } from 'node:crypto';
import { newYorkDay, newYorkMidnight } from '@candlewire/candles';
import { ApiError, isDay, type RebuildDifference, type RebuildResponse, toIso } from '@candlewire/contracts';
import type { RebuildReport } from '@candlewire/store';
import type { Router } from 'express';
import type { Reads, Writes } from '../bound-store';
import { unknownSymbol } from './errors';
import { invalid, symbolListOf } from './params';
import { workRoute } from './work-route';

/** More would make reports that nobody can read. */
const SYMBOLS_MAX = 500;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** `/api/rebuilds`: has candles computed anew from the stored minutes, and tells what differed. */
export function rebuildsRoute(store: Pick<Reads & Writes, 'requestRebuild' | 'rebuild'>): Router {
  return workRoute({
    path: '/api/rebuilds',
    name: 'rebuild',
    async request(fields) {
      const symbols = symbolListOf(fields.symbols, SYMBOLS_MAX);
      const from = dayOf(fields.from);
      const id = randomUUID();
      const { made, unknown } = await store.requestRebuild(id, symbols, from);
      if (unknown.length > 0) throw unknownSymbol(unknown[0]!);
      if (!made) throw new ApiError('unavailable', 'too many rebuilds are waiting; try again later');
      return responseOf((await store.rebuild(id))!);
    },
    async show(id) {
      // The store takes nothing else for one.
      const report = ID.test(id) ? await store.rebuild(id) : null;
      return report && responseOf(report);
    },
  });
}

function dayOf(value: unknown): number | null {
  const day = value ?? null;
  if (day === null) return null;
  if (typeof day !== 'string' || !isDay(day))
    throw invalid('from', 'must be a day (2025-11-03), or null for everything');
  return newYorkMidnight(day);
}

function responseOf({ id, symbols, from, requestedAt, parts, differencesJson }: RebuildReport): RebuildResponse {
  const known = new Map(parts.map((part) => [part.symbol, part]));
  const rows = symbols.map((symbol) => {
    const part = known.get(symbol);
    if (part === undefined)
      return { symbol, state: 'requested' as const, next: null, candles: 0, differences_count: 0, error: null };
    const { done, error, next, compared, found } = part;
    return {
      symbol,
      state: error !== null ? ('failed' as const) : done ? ('done' as const) : ('running' as const),
      next: done || next === null ? null : newYorkDay(next),
      candles: compared,
      differences_count: found,
      error,
    };
  });
  const isOver = parts.length === symbols.length && parts.every(({ done }) => done);
  return {
    id,
    state: isOver ? 'done' : parts.length > 0 ? 'running' : 'requested',
    from: from === null ? null : newYorkDay(from),
    requested_at: toIso(requestedAt),
    candles: parts.reduce((sum, { compared }) => sum + compared, 0),
    differences_count: parts.reduce((sum, { found }) => sum + found, 0),
    symbols: rows,
    differences: JSON.parse(differencesJson) as RebuildDifference[],
  };
}
