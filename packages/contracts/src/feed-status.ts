import { z } from 'zod';

export const SOURCE_KINDS = ['simulator', 'alpaca', 'replay'] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

export const FEED_STATES = ['connecting', 'live', 'backfilling', 'finished', 'failed'] as const;
export type FeedState = (typeof FEED_STATES)[number];

/** News of the source that is older than this means that no ingestor is there. */
export const FEED_STATUS_STALE_MS = 15_000;

/** Symbols that a status names as left out. */
export const LEFT_OUT_MAX = 1_000;

const instant = z.iso.datetime({ offset: true });

/** What the ingestor says of its source, every few seconds and at each change. */
export const FeedStatus = z.object({
  kind: z.enum(SOURCE_KINDS),
  state: z.enum(FEED_STATES),
  /** When the last bar arrived, of whatever age, by the ingestor's wall clock; null before the first. */
  last_bar_at: instant.nullable(),
  /** The source's clock, that of a replay being the file's; null while it is withheld. */
  clock: instant.nullable(),
  /** When this was said; old news means that no ingestor is there. */
  updated_at: instant,
  /** Bars appended to the journals since the ingestor began, history included; absent from one that does not count. */
  bars: z.int().nonnegative().optional(),
  /** What the source refused to take for a bar since then, by reason. */
  refused: z.record(z.string(), z.int().nonnegative()).optional(),
  /** Why the source failed, or is not live. */
  reason: z.string().optional(),
  /** Symbols that are wanted and not delivered, for the source has a limit or refused them; the first {@link LEFT_OUT_MAX}. */
  left_out: z.array(z.string()).optional(),
});
export type FeedStatus = z.infer<typeof FeedStatus>;
