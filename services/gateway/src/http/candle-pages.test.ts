import type { CandlesPage, CandlesQuery, SeriesState } from '@candlewire/store';
import type { Reads } from '../bound-store';
import { createCandlePages } from './candle-pages';
import { parseCursor } from './cursor';

const QUERY: CandlesQuery = { symbol: 'AAPL', interval: '1m', direction: 'back', from: null, to: null, limit: 2 };

/** One series in memory that counts what is asked of it; enough to see when a kept page is used. The rest is tested on Postgres. */
function series() {
  const asked = { head: 0, candles: 0 };
  const state = {
    head: { epoch: 'e1', seq: 7, horizon: null } as SeriesState,
    known: true,
    page: {
      candlesJson: '{"timestamp":"2025-11-03T14:30:00Z"},{"timestamp":"2025-11-03T14:31:00Z"}',
      count: 2,
      next: null,
    } as Pick<CandlesPage, 'candlesJson' | 'count' | 'next'>,
  };
  const reads: Pick<Reads, 'candles' | 'head' | 'knowsSymbol'> = {
    candles: async () => {
      asked.candles++;
      return { ...state.head, ...state.page };
    },
    head: async () => {
      asked.head++;
      return state.head.seq === 0 ? null : state.head;
    },
    knowsSymbol: async () => state.known,
  };
  return { asked, state, reads };
}

test('a page is answered from memory after the store has said that its series stands where it stood', async () => {
  const { asked, reads } = series();
  const pages = createCandlePages(reads);
  const first = await pages.page(QUERY);
  expect(asked).toEqual({ head: 0, candles: 1 });
  expect(await pages.page(QUERY)).toBe(first);
  expect(asked).toEqual({ head: 1, candles: 1 });
});

test.each([
  ['seq', { epoch: 'e1', seq: 8, horizon: null }],
  ['epoch', { epoch: 'e2', seq: 7, horizon: null }],
  ['horizon', { epoch: 'e1', seq: 7, horizon: 1 }],
])('a page is read again when the %s is another', async (_which, head) => {
  const { asked, state, reads } = series();
  const pages = createCandlePages(reads);
  await pages.page(QUERY);
  state.head = head;
  expect((await pages.page(QUERY)).head).toEqual(head);
  expect(asked.candles).toBe(2);
});

test('every part of a query tells pages apart', async () => {
  const { asked, reads } = series();
  const pages = createCandlePages(reads);
  const others: Partial<CandlesQuery>[] = [
    {},
    { symbol: 'MSFT' },
    { interval: '5m' },
    { direction: 'forward' },
    { from: 0 },
    { to: 0 },
    { limit: 3 },
  ];
  for (const other of others) await pages.page({ ...QUERY, ...other });
  expect(asked).toEqual({ head: 0, candles: others.length });
});

test.each([
  ['bytes', { bytesMax: 2, pagesMax: 100 }],
  ['number', { bytesMax: 100, pagesMax: 2 }],
])(
  'what is kept is bounded in its %s, and what was used longest ago goes first',
  async (_what, { bytesMax, pagesMax }) => {
    const { asked, reads } = series();
    const { body } = await createCandlePages(reads).page(QUERY);
    const pages = createCandlePages(reads, { bytesMax: bytesMax * body.length, pagesMax });
    const page = (limit: number) => pages.page({ ...QUERY, limit });
    for (const limit of [1, 2, 1, 3]) await page(limit);
    asked.candles = 0;
    await page(1);
    await page(3);
    expect(asked.candles).toBe(0);
    await page(2);
    expect(asked.candles).toBe(1);
  },
);

test('a page greater than all that may be kept is answered and not kept', async () => {
  const { asked, reads } = series();
  const pages = createCandlePages(reads, { bytesMax: 10, pagesMax: 10 });
  await pages.page(QUERY);
  await pages.page(QUERY);
  expect(asked).toEqual({ head: 0, candles: 2 });
});

test('a symbol without candles is an empty page if it is known and an error if not', async () => {
  const { state, reads } = series();
  state.head = { epoch: 'e1', seq: 0, horizon: null };
  state.page = { candlesJson: '', count: 0, next: null };
  const pages = createCandlePages(reads);
  expect((await pages.page(QUERY)).body.toString()).toBe(
    '{"symbol":"AAPL","interval":"1m","epoch":"e1","seq":0,"candles":[],"next_cursor":null}',
  );
  state.known = false;
  await expect(pages.page(QUERY)).rejects.toMatchObject({ code: 'unknown_symbol' });
});

test.each([
  ['back', { from: null, to: Date.parse('2025-11-03T14:30:00Z') - 1 }],
  ['forward', { from: Date.parse('2025-11-03T14:31:00Z') + 1, to: 99e12 }],
] as const)('a cursor leads %s from the very edge of the page', async (direction, rest) => {
  const { state, reads } = series();
  state.page = { ...state.page, next: 1 };
  const { body } = await createCandlePages(reads).page({ ...QUERY, direction, to: rest.to });
  const { next_cursor } = JSON.parse(body.toString()) as { next_cursor: string };
  expect(parseCursor(QUERY, next_cursor)).toEqual({ direction, ...rest });
});
