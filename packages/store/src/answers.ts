import type { Answer, Need, Past, SeriesSnapshot } from '@candlewire/candles';
import { INTERVALS, type Interval } from '@candlewire/contracts';
import { CANDLE_ARRAY, decodeCandles, msOf, toTimestamp } from './candle-rows';
import type { Database, Statement } from './connect';
import type { Store } from './store';

/** Closes that the longest moving average looks back on. */
const PAST_CLOSES = 160;

/** SQL: the requests, elements of a JSON array; keys that are not named here are passed over. */
const REQUESTED = `json_to_recordset($1) as r(n int, symbol text, interval text, "from" timestamptz, "to" timestamptz, "limit" bigint)`;

/** SQL: closes of the series of `r` before `time`, descending. */
const closesBefore = (time: string) => `array(
  select c.close from candles c
  where c.symbol = r.symbol and c.interval = r.interval and c.ts < ${time}
  order by c.ts desc limit ${PAST_CLOSES}
)`;

/** SQL: what the last candle of the series of `r` before `time` leaves to the next, as `past`. */
const averagesBefore = (time: string) => `left join lateral (
  select c.avg_gain, c.avg_loss, c.avg_range from candles c
  where c.symbol = r.symbol and c.interval = r.interval and c.ts < ${time}
  order by c.ts desc limit 1
) past on true`;

export const SYMBOL: Statement = {
  name: 'answer_symbol',
  text: `
    select r.n, r.interval, series.seq, head.arrays, past.avg_gain, past.avg_loss, past.avg_range, ${closesBefore('head.ts')}, (
      select ${msOf('c.ts')} from candles c
      where c.symbol = r.symbol and c.interval = r.interval and not c.final and c.ts < head.ts
      order by c.ts limit 1
    )
    from (
      select s.n, s.symbol, i.interval
      from unnest($1::text[]) with ordinality as s(symbol, n), unnest(array['${INTERVALS.join("','")}']) as i(interval)
    ) r
    left join series on series.symbol = r.symbol and series.interval = r.interval
    left join lateral (
      select c.ts, ${CANDLE_ARRAY} as arrays from candles c
      where c.symbol = r.symbol and c.interval = r.interval
      order by c.ts desc limit 1
    ) head on true
    ${averagesBefore('head.ts')}`,
};

export const PAST: Statement = {
  name: 'answer_past',
  text: `
    select r.n, past.avg_gain, past.avg_loss, past.avg_range, ${closesBefore('r.to')}
    from ${REQUESTED}
    ${averagesBefore('r.to')}`,
};

/** SQL: candles of each request; the aggregate takes them in the order of its subquery. */
const candlesWhere = (condition: string) => `
  select r.n, (
    select string_agg(${CANDLE_ARRAY}, ',')
    from (
      select * from candles
      where candles.symbol = r.symbol and candles.interval = r.interval and ${condition} and candles.ts < r.to
      order by candles.ts limit r.limit
    ) c
  )
  from ${REQUESTED}`;

export const CANDLES: Statement = { name: 'answer_candles', text: candlesWhere('candles.ts >= r.from') };
export const OPEN: Statement = { name: 'answer_open', text: candlesWhere('not candles.final') };

type NeedOf<Kind extends Need['kind']> = Extract<Need, { kind: Kind }>;
/** Needs of one kind, each with the place that its answer takes. */
type Placed<Kind extends Need['kind']> = readonly { readonly need: NeedOf<Kind>; readonly n: number }[];

/** Answers what the engine has to know, one statement for each kind of need and all kinds at once. */
export function answers(db: Database): Pick<Store, 'answer'> {
  return {
    async answer(needs) {
      const result: Answer[] = new Array(needs.length);
      const ofKind = <Kind extends Need['kind']>(kind: Kind): Placed<Kind> =>
        needs.flatMap((need, n) => (need.kind === kind ? [{ need: need as NeedOf<Kind>, n }] : []));
      await Promise.all([
        answerSymbols(db, ofKind('symbol'), result),
        answerPasts(db, ofKind('past'), result),
        answerCandles(db, ofKind('candles'), result),
        answerOpen(db, ofKind('open'), result),
      ]);
      return result;
    },
  };
}

async function answerSymbols(db: Database, needs: Placed<'symbol'>, result: Answer[]): Promise<void> {
  if (needs.length === 0) return;
  type Head = [n: number, interval: Interval, seq: number | null, head: string | null];
  type Row = [...head: Head, ...past: PastCells, firstOpen: number | null];
  const rows = await db.run<Row>(SYMBOL, [needs.map(({ need }) => need.symbol)]);
  const snapshots = needs.map(() => ({}) as Record<Interval, SeriesSnapshot>);
  for (const [n, interval, seq, head, gain, loss, range, closes, firstOpen] of rows) {
    // `with ordinality` counts from 1.
    snapshots[n - 1]![interval] = {
      seq: seq ?? 0,
      head: decodeCandles(head)[0] ?? null,
      past: pastOf(gain, loss, range, closes),
      firstOpen,
    };
  }
  needs.forEach(({ n }, i) => {
    result[n] = snapshots[i]!;
  });
}

async function answerPasts(db: Database, needs: Placed<'past'>, result: Answer[]): Promise<void> {
  if (needs.length === 0) return;
  const requests = needs.map(({ need, n }) => ({ ...need, n, to: toTimestamp(need.before) }));
  const rows = await db.run<[n: number, ...PastCells]>(PAST, [JSON.stringify(requests)]);
  for (const [n, ...cells] of rows) result[n] = pastOf(...cells);
}

async function answerCandles(db: Database, needs: Placed<'candles'>, result: Answer[]): Promise<void> {
  if (needs.length === 0) return;
  const requests = needs.map(({ need, n }) => ({ ...need, n, from: toTimestamp(need.from), to: toTimestamp(need.to) }));
  const rows = await db.run<CandlesRow>(CANDLES, [JSON.stringify(requests)]);
  for (const [n, arrays] of rows) result[n] = decodeCandles(arrays);
}

async function answerOpen(db: Database, needs: Placed<'open'>, result: Answer[]): Promise<void> {
  if (needs.length === 0) return;
  const requests = needs.map(({ need, n }) => ({ ...need, n, to: toTimestamp(need.before) }));
  const rows = await db.run<CandlesRow>(OPEN, [JSON.stringify(requests)]);
  for (const [n, arrays] of rows) result[n] = decodeCandles(arrays);
}

type CandlesRow = [n: number, arrays: string | null];
type PastCells = [gain: number | null, loss: number | null, range: number | null, closesDescending: number[]];

function pastOf(...[gain, loss, range, closesDescending]: PastCells): Past {
  return { closes: closesDescending.reverse(), avgGain: gain ?? 0, avgLoss: loss ?? 0, avgRange: range ?? 0 };
}
