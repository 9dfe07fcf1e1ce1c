import { DAY_MS } from '@candlewire/contracts';
import { type BarsQuery, isRestError, parseBarsQuery } from './bars-query';
import { encodePageToken, parsePageToken } from './page-token';
import { barsBody, latestBody, singleBarsBody } from './rest';
import { formatTimeframe, parseTimeframe } from './timeframe';

const TODAY = Date.UTC(2025, 10, 3);
const time = {
  todayMs: TODAY,
  day: (date: string) => ({ fromMs: Date.parse(date), toMs: Date.parse(date) + DAY_MS }),
};
const parse = (text: string, symbol?: string) => parseBarsQuery(new URLSearchParams(text), time, symbol);

test('a bare query gets the defaults', () => {
  expect(parse('symbols=MSFT,AAPL&timeframe=1Min')).toEqual({
    symbols: ['AAPL', 'MSFT'],
    timeframe: { amount: 1, unit: 'Min' },
    startMs: TODAY,
    endMs: null,
    limit: 1_000,
    sort: 'asc',
    feed: null,
    adjustment: 'raw',
    after: null,
  });
});

test('symbols may be a list, repeated, or in the path', () => {
  const symbolsOf = (text: string, symbol?: string) => (parse(`${text}&timeframe=1D`, symbol) as BarsQuery).symbols;
  expect(symbolsOf('symbols=B&symbols=A,B')).toEqual(['A', 'B']);
  expect(symbolsOf('symbols=B', 'brk.b')).toEqual(['BRK.B']);
});

test.each([
  ['2025-11-03T14:30:00Z', Date.UTC(2025, 10, 3, 14, 30)],
  ['2025-11-03T09:30:00-05:00', Date.UTC(2025, 10, 3, 14, 30)],
  ['2025-11-03T15:30:00 01:00', Date.UTC(2025, 10, 3, 14, 30)],
  ['2025-11-03T14:30:00.000000001Z', Date.UTC(2025, 10, 3, 14, 30, 0, 1)],
  ['2025-11-01', Date.UTC(2025, 10, 1)],
])('start %s', (start, startMs) => {
  expect(parse(`symbols=A&timeframe=1Min&start=${start}`)).toMatchObject({ startMs });
});

test.each([
  ['2025-11-03T14:30:00.000000001Z', Date.UTC(2025, 10, 3, 14, 30)],
  ['2025-11-03', Date.UTC(2025, 10, 4) - 1],
])('end %s', (end, endMs) => {
  expect(parse(`symbols=A&timeframe=1Min&end=${end}`)).toMatchObject({ endMs });
});

test.each([
  ['', 'symbols'],
  ['symbols=A', 'timeframe'],
  ['symbols=A,,B&timeframe=1Min', 'symbol'],
  ['symbols=A&timeframe=61Min', 'timeframe'],
  ['symbols=A&timeframe=1Min&start=2025-02-30', 'start'],
  ['symbols=A&timeframe=1Min&end=tomorrow', 'end'],
  ['symbols=A&timeframe=1Min&start=2025-11-02&end=2025-11-01', 'end'],
  ['symbols=A&timeframe=1Min&limit=0', 'limit'],
  ['symbols=A&timeframe=1Min&limit=10001', 'limit'],
  ['symbols=A&timeframe=1Min&limit=1e3', 'limit'],
  ['symbols=A&timeframe=1Min&sort=up', 'sort'],
  ['symbols=A&timeframe=1Min&page_token=xyz', 'page_token'],
  [`symbols=A&timeframe=1Min&page_token=${encodePageToken({ symbol: 'B', openTime: TODAY }, 'Min')}`, 'page_token'],
])('%p is refused for its %s', (text, name) => {
  const result = parse(text);
  expect(isRestError(result) && result).toMatchObject({ status: 400, message: expect.stringContaining(name) });
});

test('page tokens bring the position back, for bars of their width alone', () => {
  const position = { symbol: 'BRK.B', openTime: Date.UTC(2025, 10, 3, 14, 30) };
  const token = encodePageToken(position, 'Min');
  expect(parsePageToken(token, 'Min')).toEqual(position);
  expect(parsePageToken(token, 'Day')).toBeNull();
  expect(parsePageToken('%%%', 'Min')).toBeNull();
  expect(parse(`symbols=BRK.B&timeframe=5Min&page_token=${encodeURIComponent(token)}`)).toMatchObject({
    after: position,
  });
});

test.each(['1Min', '59Min', '1Hour', '23Hour', '1Day', '1Week', '12Month'])('the timeframe %s', (text) => {
  expect(formatTimeframe(parseTimeframe(text)!)).toBe(text);
});

test.each(['15T', '4H', '1D', '1W', '6M'])('the short timeframe %s', (text) => {
  expect(formatTimeframe(parseTimeframe(text)!)).toMatch(/^\d+(Min|Hour|Day|Week|Month)$/);
});

test.each(['', 'Min', '0Min', '60Min', '24Hour', '2Day', '2Week', '5Month', '1min', '1Sec', '1.5Min', '01Min'])(
  'no timeframe: %p',
  (text) => {
    expect(parseTimeframe(text)).toBeNull();
  },
);

test('answers are JSON', () => {
  const rows = new Map([
    ['A', ['{"t":1}', '{"t":2}']],
    ['B', []],
  ]);
  expect(JSON.parse(barsBody(rows, 'x'))).toEqual({ bars: { A: [{ t: 1 }, { t: 2 }] }, next_page_token: 'x' });
  expect(JSON.parse(singleBarsBody('A', [], null))).toEqual({ bars: [], symbol: 'A', next_page_token: null });
  expect(JSON.parse(latestBody('bars', new Map([['A', '{"t":1}']])))).toEqual({ bars: { A: { t: 1 } } });
});
