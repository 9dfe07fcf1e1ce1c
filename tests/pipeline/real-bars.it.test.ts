import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SymbolsResponse } from '@candlewire/contracts';
import { describeWithRedis } from '@candlewire/testkit';
import { createPipeline, expectDense, expectSameLines, type Pipeline } from './harness';
import { pagesForward } from './pages';

const BARS = resolve(__dirname, '../../../shared/data/us-equities-1m.csv');
const CALENDAR = resolve(__dirname, '../../packages/candles/nyse-calendar.csv');
const given = existsSync(BARS);
const TEST_MS = 120_000;
const PAGE_ROWS = 1_000;

const lines = (file: string) => readFileSync(file, 'utf8').trim().split('\n').slice(1);

/**
 * What the 1m rows roll up to, said in SQL alone. `day` is the New York date; 24 hours after midnight no session is open,
 * so a close of null (a holiday) leaves only `closed`.
 */
const MINUTES = `
  create view minutes as
  select symbol, ts, open, high, low, close, volume, local::date as day,
    case
      when extract(isodow from local) > 5 or kind = 'holiday' then 'closed'
      when local::time >= '04:00' and local::time < '09:30' then 'pre'
      when local::time >= '09:30' and local::time < closes then 'regular'
      when local::time >= closes and local::time < closes + interval '4 hours' then 'post'
      else 'closed'
    end as status
  from (
    select c.*, c.ts at time zone 'America/New_York' as local from candles c where interval = '1m'
  ) c
  left join lateral (
    select kind, coalesce(close_time, '16:00') as closes from (select 1) one left join calendar_days d on d.day = local::date
  ) session on true`;

const STORED_STATUS = `(array['pre', 'regular', 'post', 'closed'])[market_status + 1]`;

/** A bucket of fixed width: the floor of its epoch seconds. */
const fixed = (seconds: number) => `
  select symbol, to_timestamp(floor(extract(epoch from ts) / ${seconds}) * ${seconds}) as ts,
    (array_agg(open order by ts))[1] as open, max(high) as high, min(low) as low,
    (array_agg(close order by ts desc))[1] as close, sum(volume)::bigint as volume,
    case when bool_or(status = 'regular') then 'regular' else (array_agg(status order by ts desc))[1] end as status
  from minutes group by 1, 2`;

const ROLLED: Readonly<Record<string, string>> = {
  '1m': 'select symbol, ts, open, high, low, close, volume, status from minutes',
  '5m': fixed(300),
  '1h': fixed(3600),
  '1d': `
    select symbol, day::timestamp at time zone 'America/New_York' as ts,
      (array_agg(open order by ts) filter (where status = 'regular'))[1] as open,
      max(high) filter (where status = 'regular') as high, min(low) filter (where status = 'regular') as low,
      (array_agg(close order by ts desc) filter (where status = 'regular'))[1] as close,
      sum(volume) filter (where status <> 'closed')::bigint as volume, 'regular' as status
    from minutes group by symbol, day having bool_or(status = 'regular')`,
};

describeWithRedis('real bars through the pipeline', () => {
  if (!given) {
    it.skip('roll up as SQL rolls them up (skipped: the file of real bars is not there)', () => {});
    return;
  }
  const bars = given ? lines(BARS).map((line) => line.split(',')) : [];
  const symbols = [...new Set(bars.map(([symbol]) => symbol!))].sort();
  let pipeline: Pipeline;
  let gateway: string;

  beforeAll(async () => {
    pipeline = await createPipeline();
    pipeline.spawn('aggregator');
    gateway = await pipeline.gateway();
    await pipeline.played(pipeline.replay(BARS), bars.length);
    await pipeline.consumed();
  }, TEST_MS);

  afterAll(async () => {
    await pipeline?.close();
  });

  it(
    'are answered as they stand in the file, each of them final',
    async () => {
      for (const symbol of symbols) {
        const candles = await pagesForward(gateway, symbol, '1m', PAGE_ROWS);
        const answered = candles.map((c) => [symbol, c.timestamp, c.open, c.high, c.low, c.close, c.volume, c.final]);
        const ofSymbol = bars.filter(([name]) => name === symbol).sort(([, a], [, b]) => (a! < b! ? -1 : 1));
        const written = ofSymbol.map(([name, ts, ...numbers]) => [name, ts, ...numbers.map(Number), true]);
        expectSameLines(answered.map(String), written.map(String));
        // The file has neither.
        expect(candles.filter(({ vwap, trade_count }) => vwap !== null || trade_count !== null)).toEqual([]);
      }
    },
    TEST_MS,
  );

  it(
    'roll up as SQL rolls them up',
    async () => {
      await pipeline.sql('create table calendar_days (day date primary key, kind text, close_time time)');
      for (const line of lines(CALENDAR)) {
        const [day, kind, closes] = line.split(',');
        await pipeline.sql('insert into calendar_days values ($1, $2, $3)', [day, kind, closes || null]);
      }
      await pipeline.sql(MINUTES);
      const symbolList = symbols.map((symbol) => `'${symbol}'`).join(', ');
      for (const [interval, rolled] of Object.entries(ROLLED)) {
        const expected = `select * from (${rolled}) r where symbol in (${symbolList})`;
        const stored = `
        select symbol, ts, open, high, low, close, volume, ${STORED_STATUS} from candles
        where interval = '${interval}' and symbol in (${symbolList}) and final and vwap is null and trade_count is null`;
        const [count] = await pipeline.sql<{ n: number }>(`select count(*)::int as n from (${stored}) s`);
        expect(count!.n).toBeGreaterThan(0);
        const differing = await pipeline.sql(`
        (select 'expected', * from (${expected} except ${stored}) e limit 3) union all
        (select 'stored', * from (${stored} except ${expected}) s limit 3)`);
        expect(differing).toEqual([]);
      }
    },
    TEST_MS,
  );

  it('make their symbols known', async () => {
    const { symbols: rows } = SymbolsResponse.parse(await (await fetch(`${gateway}/api/symbols`)).json());
    const listed = rows.filter(({ symbol }) => symbols.includes(symbol));
    const newest = symbols.map(
      (symbol) => bars.filter(([name]) => name === symbol).sort(([, a], [, b]) => (a! < b! ? 1 : -1))[0]!,
    );
    expect(listed).toEqual(
      newest.map(([symbol, ts, , , , close]) => ({
        symbol,
        name: null,
        active: true,
        last_price: Number(close),
        last_timestamp: ts,
      })),
    );
  });

  it(
    'change nothing when they are played again',
    async () => {
      const everything = async () => {
        const rows = await pipeline.sql<{ line: string }>(`
        select c::text as line from candles c where symbol in (${symbols.map((symbol) => `'${symbol}'`).join(', ')})
        order by symbol, interval, ts`);
        return rows.map(({ line }) => line);
      };
      const before = await everything();
      const follower = await pipeline.follow();
      await pipeline.played(pipeline.replay(BARS), 2 * bars.length);
      await pipeline.consumed();
      expectSameLines(await everything(), before);
      await expectDense(pipeline);
      expect([...follower.series.values()].filter(({ symbol }) => symbols.includes(symbol))).toEqual([]);
      expect(pipeline.errors()).toEqual([]);
    },
    TEST_MS,
  );
});
