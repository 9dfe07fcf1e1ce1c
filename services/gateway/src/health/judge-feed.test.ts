import { readFileSync } from 'node:fs';
import { createCalendar } from '@candlewire/candles';
import type { FeedStatus } from '@candlewire/contracts';
import { type FeedNews, judgeFeed } from './judge-feed';

const nyse = createCalendar('nyse', readFileSync(require.resolve('@candlewire/candles/nyse-calendar.csv'), 'utf8'));
const always = createCalendar('24x7', '');

const MONDAY_10 = '2025-11-03T15:00:00Z';
const SUNDAY_10 = '2025-11-02T15:00:00Z';
const FRIDAY_20 = '2025-11-01T00:00:00Z';

function ago(iso: string, s: number): string {
  return new Date(Date.parse(iso) - s * 1000).toISOString();
}

/** News at `now`: by default of a live Alpaca feed that spoke two seconds ago and has been live since Friday evening. */
function news(now: string, fields: Partial<FeedStatus> = {}, liveSince: string = FRIDAY_20): FeedNews {
  const status: FeedStatus = {
    kind: 'alpaca',
    state: 'live',
    last_bar_at: FRIDAY_20,
    clock: null,
    updated_at: ago(now, 2),
    ...fields,
  };
  return { status, liveSince: status.state === 'live' ? Date.parse(liveSince) : null };
}

const judge = (now: string, heard: FeedNews | null, calendar: typeof nyse | null = nyse) =>
  judgeFeed(heard, Date.parse(now), calendar);

test.each<[claim: string, ok: boolean, now: string, heard: FeedNews, calendar?: typeof nyse]>([
  ['a silent Sunday is healthy', true, SUNDAY_10, news(SUNDAY_10)],
  ['a silent Monday 10:00 is not', false, MONDAY_10, news(MONDAY_10)],
  [
    'a Monday with a bar three minutes old is healthy',
    true,
    MONDAY_10,
    news(MONDAY_10, { last_bar_at: ago(MONDAY_10, 180) }),
  ],
  [
    'a Monday with a bar older than three minutes is not',
    false,
    MONDAY_10,
    news(MONDAY_10, { last_bar_at: ago(MONDAY_10, 181) }),
  ],
  ['a feed that just became live has three minutes', true, MONDAY_10, news(MONDAY_10, {}, ago(MONDAY_10, 180))],
  [
    'a feed without any bar has no more than three minutes',
    false,
    MONDAY_10,
    news(MONDAY_10, { last_bar_at: null }, ago(MONDAY_10, 181)),
  ],
  ['the silence of the night is not counted at 09:32', true, '2025-11-03T14:32:59Z', news('2025-11-03T14:32:59Z')],
  [
    'silence counts from the open: at 09:33 it is too long',
    false,
    '2025-11-03T14:33:00Z',
    news('2025-11-03T14:33:00Z'),
  ],
  ['silence after the close is healthy', true, '2025-11-03T21:00:00Z', news('2025-11-03T21:00:00Z')],
  ['silence after an early close is healthy', true, '2025-07-03T17:30:00Z', news('2025-07-03T17:30:00Z')],
  ['a silent holiday is healthy', true, '2025-07-04T15:00:00Z', news('2025-07-04T15:00:00Z')],
  [
    'a market that never closes may not be silent on a Sunday',
    false,
    SUNDAY_10,
    news(SUNDAY_10, { kind: 'simulator' }),
    always,
  ],
  ['a replay may be silent for as long as it speaks', true, MONDAY_10, news(MONDAY_10, { kind: 'replay' })],
  [
    'a replay that no longer speaks is not healthy',
    false,
    MONDAY_10,
    news(MONDAY_10, { kind: 'replay', updated_at: ago(MONDAY_10, 16) }),
  ],
  [
    'a finished replay is healthy for ever',
    true,
    MONDAY_10,
    news(MONDAY_10, { kind: 'replay', state: 'finished', updated_at: FRIDAY_20 }),
  ],
  ['a failed source is not healthy on a Sunday either', false, SUNDAY_10, news(SUNDAY_10, { state: 'failed' })],
  ['a connecting source is not healthy', false, SUNDAY_10, news(SUNDAY_10, { state: 'connecting' })],
  [
    'a backfilling source is healthy',
    true,
    MONDAY_10,
    news(MONDAY_10, { state: 'backfilling', last_bar_at: MONDAY_10 }),
  ],
  [
    'one without bars is no better than a live one',
    false,
    MONDAY_10,
    news(MONDAY_10, { state: 'backfilling', last_bar_at: ago(MONDAY_10, 181) }),
  ],
  ['a status of 15 s ago still stands', true, SUNDAY_10, news(SUNDAY_10, { updated_at: ago(SUNDAY_10, 15) })],
  ['a status of 16 s ago does not', false, SUNDAY_10, news(SUNDAY_10, { updated_at: ago(SUNDAY_10, 16) })],
])('%s', (_claim, ok, now, heard, calendar = nyse) => {
  expect(judge(now, heard, calendar).ok).toBe(ok);
});

test.each(['connecting', 'live', 'backfilling', 'failed'] as const)('a stale %s is shown as connecting', (state) => {
  expect(judge(SUNDAY_10, news(SUNDAY_10, { state, updated_at: ago(SUNDAY_10, 60) })).state).toBe('connecting');
});

test('a stale finished stays finished', () => {
  expect(judge(MONDAY_10, news(MONDAY_10, { state: 'finished', updated_at: FRIDAY_20 })).state).toBe('finished');
});

test('without any news the feed is connecting', () => {
  expect(judge(MONDAY_10, null)).toEqual({ ok: false, state: 'connecting', last_bar_at: null, session: 'regular' });
});

test('the session is that of the feed clock, which a replay has from its file', () => {
  expect(judge(SUNDAY_10, news(SUNDAY_10, { kind: 'replay', clock: '2025-11-03T13:00:30Z' })).session).toBe('pre');
  expect(judge(SUNDAY_10, news(SUNDAY_10)).session).toBe('closed');
});

test('without a calendar no session is named and silence is not held against the feed', () => {
  expect(judge(MONDAY_10, news(MONDAY_10), null)).toMatchObject({ ok: true, session: null });
});
