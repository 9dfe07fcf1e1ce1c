import { createHash } from 'node:crypto';
import type { CandlesQuery } from '@candlewire/store';

/** What is left to read of a range, and from which side. */
export type Rest = Pick<CandlesQuery, 'direction' | 'from' | 'to'>;
type Series = Pick<CandlesQuery, 'symbol' | 'interval'>;

const CURSOR = /^(back|forward),(-?\d{1,15})?,(-?\d{1,15})?,[\w-]+$/;
/** Characters of the check sum: against accidents and edits. A cursor grants nothing that start and end do not. */
const CHECK_LENGTH = 10;

/**
 * Where to go on, as text that only {@link parseCursor} understands. It belongs to one series and says
 * everything, so that any replica of the gateway can go on, and so can one that was started since.
 */
export function formatCursor({ symbol, interval }: Series, { direction, from, to }: Rest): string {
  const text = `${direction},${from ?? ''},${to ?? ''}`;
  const check = createHash('sha256').update(`${symbol},${interval},${text}`).digest('base64url').slice(0, CHECK_LENGTH);
  return Buffer.from(`${text},${check}`).toString('base64url');
}

/** The reverse of {@link formatCursor}; null where the text was made by somebody else, or for another series. */
export function parseCursor(series: Series, cursor: string): Rest | null {
  const match = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (match === null) return null;
  const [, direction, from, to] = match;
  const rest: Rest = { direction: direction as Rest['direction'], from: boundOf(from), to: boundOf(to) };
  return formatCursor(series, rest) === cursor ? rest : null;
}

function boundOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}
