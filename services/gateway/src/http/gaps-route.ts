import type { MarketCalendar } from '@candlewire/candles';
import {
  type AllGapsResponse,
  type Gap,
  type GapsResponse,
  type MarketStatus,
  MINUTE_MS,
  toIso,
} from '@candlewire/contracts';
import { type Span, type StoredHistory, sessionSpans, without } from '@candlewire/store';
import { type RequestHandler, Router } from 'express';
import type { Reads } from '../bound-store';
import { refuseOtherMethods, unknownSymbol } from './errors';
import { symbolOf, textOf } from './params';

/** Bars may come so long after their minute, and be stored: before that nothing is missing. */
const RECENT_MS = 3 * MINUTE_MS;
/** In one answer; what is beyond is left out, and `truncated` says so. */
const GAPS_MAX = 1_000;
const MINUTES_MAX = 50_000;
/** What a look at one session costs beside the minutes that it finds. */
const LOOK_COST_MINUTES = 100;

export interface GapsRouteDeps {
  readonly store: Pick<Reads, 'historyOf' | 'knowsSymbol' | 'minutes' | 'sourceFacts'>;
  readonly calendars: Readonly<Record<'nyse' | '24x7', MarketCalendar>>;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
}

/** `GET /api/gaps`: known holes of the symbols that are delivered, ascending, and what is done about each. */
export function gapsRoute({ store, calendars, now }: GapsRouteDeps): Router {
  const serve: RequestHandler = async (req, res) => {
    const asked = textOf(req.query, 'symbol');
    const symbol = asked === undefined || asked === '' ? null : symbolOf(asked);
    const facts = await store.sourceFacts();
    const stored = await store.historyOf(symbol === null ? undefined : [symbol]);
    if (symbol !== null && stored.length === 0 && !(await store.knowsSymbol(symbol))) throw unknownSymbol(symbol);
    const budget = { gaps: GAPS_MAX, minutes: MINUTES_MAX, isSpent: false };
    const rows: { symbol: string; gaps: Gap[] }[] = [];
    if (facts?.hasHistory) {
      const rules = { calendar: calendars[facts.calendar], statuses: facts.statuses, now: now() };
      for (const one of stored) {
        if (budget.isSpent) break;
        const gaps = await gapsOf(one, rules, budget, store);
        if (gaps.length > 0) rows.push({ symbol: one.symbol, gaps });
      }
    }
    res.setHeader('Cache-Control', 'no-cache');
    const truncated = budget.isSpent;
    if (symbol === null) res.json({ symbols: rows, truncated } satisfies AllGapsResponse);
    else res.json({ symbol, gaps: rows[0]?.gaps ?? [], truncated } satisfies GapsResponse);
  };

  const router = Router();
  router
    .route('/api/gaps')
    .get(serve)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}

interface Rules {
  readonly calendar: MarketCalendar;
  readonly statuses: readonly MarketStatus[];
  readonly now: number;
}

interface Budget {
  gaps: number;
  minutes: number;
  isSpent: boolean;
}

async function gapsOf(
  one: StoredHistory,
  { calendar, statuses, now }: Rules,
  budget: Budget,
  store: Pick<Reads, 'minutes'>,
): Promise<Gap[]> {
  const gaps: Gap[] = [];
  for (const unknown of unproven(one, now)) {
    for (const session of sessionSpans(unknown, calendar, statuses)) {
      const minutes = await store.minutes(one.symbol, session, budget.minutes);
      budget.minutes -= minutes.length + LOOK_COST_MINUTES;
      for (const hole of without(
        session,
        minutes.map((from) => ({ from, to: from + MINUTE_MS })),
      )) {
        if (budget.gaps-- <= 0 || budget.minutes <= 0) {
          budget.isSpent = true;
          return gaps;
        }
        gaps.push(gapOf(hole, one));
      }
    }
  }
  return gaps;
}

/** What neither history has answered nor the live stream vouches for, since the symbol's history begins. */
function unproven(one: StoredHistory, now: number): Span[] {
  if (one.historyFrom === null) return [];
  const from = Math.max(one.historyFrom, one.horizon ?? Number.NEGATIVE_INFINITY);
  const recent = now - RECENT_MS;
  const live = one.live.map(({ from: since, to, goesOn }) => ({ from: since, to: goesOn ? now : to }));
  return without({ from, to: recent - (recent % MINUTE_MS) }, [...one.answered, ...one.settled, ...live]);
}

function gapOf({ from, to }: Span, { pending }: StoredHistory): Gap {
  const fill = pending.find((range) => range.from < to && from < range.to);
  return {
    start: toIso(from),
    end: toIso(to - MINUTE_MS),
    minutes: (to - from) / MINUTE_MS,
    state: fill?.state ?? 'open',
    reason: fill?.reason ?? null,
  };
}
