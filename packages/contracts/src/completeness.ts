import { z } from 'zod';

const instant = z.iso.datetime();

/** How it goes with a hole; `open`: nothing is done about it yet, `waiting`: for the source, or for another try. */
export const GAP_STATES = ['queued', 'running', 'waiting', 'failed', 'open'] as const;

/** Minutes of a session that are neither stored nor known to be without trade; both ends inclusive. */
export const Gap = z.object({
  start: instant,
  end: instant,
  minutes: z.int(),
  state: z.enum(GAP_STATES),
  reason: z.string().nullable(),
});
export type Gap = z.infer<typeof Gap>;

/** `GET /api/gaps?symbol=`: ascending; `truncated`: there are more. */
export const GapsResponse = z.object({ symbol: z.string(), gaps: z.array(Gap), truncated: z.boolean() });
export type GapsResponse = z.infer<typeof GapsResponse>;

/** `GET /api/gaps`: symbols that have gaps. */
export const AllGapsResponse = z.object({
  symbols: z.array(z.object({ symbol: z.string(), gaps: z.array(Gap) })),
  truncated: z.boolean(),
});
export type AllGapsResponse = z.infer<typeof AllGapsResponse>;

const progress = { jobs_done: z.int(), jobs_total: z.int().nullable(), bars: z.int() };
const state = z.enum(['queued', 'running', 'done', 'failed']);

/** `POST /api/backfills` and `GET /api/backfills/{id}`. `jobs_total` is null until it was planned. */
export const BackfillResponse = z.object({
  id: z.string(),
  state,
  reason: z.string().nullable(),
  start: instant,
  end: instant,
  requested_at: instant,
  finished_at: instant.nullable(),
  ...progress,
  symbols: z.array(z.object({ symbol: z.string(), state, reason: z.string().nullable(), ...progress })),
});
export type BackfillResponse = z.infer<typeof BackfillResponse>;
