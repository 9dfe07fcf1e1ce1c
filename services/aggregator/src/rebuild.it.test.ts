import { type Bar, channelsOf, DAY_MS, MINUTE_MS, type RebuildDifference } from '@candlewire/contracts';
import { bar, waitFor } from '@candlewire/testkit';
import { createRig, type Rig } from './rig.suite';

/** A Monday, 09:30 New York. */
const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const DAYS = 4;
const at = (day: number, minute: number) => OPEN + day * DAY_MS + minute * MINUTE_MS;

/** Minutes of one day, around its regular session's begin; no price comes twice. */
function day(n: number, symbol = 'AAPL', count = 200): Bar[] {
  return Array.from({ length: count }, (_, minute) =>
    bar({
      symbol,
      openTime: at(n, minute - 30),
      close: 100 + 5 * Math.sin((n * 977 + minute) * 12.9898),
      volume: 100 + minute,
    }),
  );
}

let rig: Rig;
beforeEach(async () => {
  rig = await createRig();
});
afterEach(() => rig.close());

async function deliver(symbol: string): Promise<void> {
  for (let n = 0; n < DAYS; n++) await rig.append(symbol, at(n, 180), day(n, symbol));
  // Past the last post session: everything is final.
  await rig.append(symbol, at(DAYS - 1, 700), []);
  await rig.consumed(symbol);
}

const told = (json: string) => (JSON.parse(json) as RebuildDifference[]).map((one) => JSON.stringify(one)).sort();
const count = async (where = 'true') =>
  (await rig.sql<{ n: number }>(`select count(*)::int as n from candles where symbol = 'AAPL' and ${where}`))[0]!.n;

it('a rebuild of what nobody touched compares every candle and changes none', async () => {
  const aggregator = await rig.start('one');
  await deliver('AAPL');
  const before = await rig.sql('select * from candles order by symbol, interval, ts');
  await rig.order('r', ['AAPL']);
  const { parts, differencesJson } = await rig.rebuilt('r');
  expect(parts).toMatchObject([{ symbol: 'AAPL', compared: await count(), found: 0, error: null }]);
  expect(differencesJson).toBe('[]');
  expect(await rig.sql('select * from candles order by symbol, interval, ts')).toEqual(before);
  await waitFor(() => aggregator.counters.rebuilt === parts[0]!.compared, { what: 'all are counted' });
  expect(aggregator.counters.corrected).toBe(0);
});

it('what was changed by hand is told, exactly, and corrected for everybody, while live bars go on', async () => {
  await rig.start('one');
  await deliver('AAPL');
  await deliver('MSFT');
  const right = await rig.candles();
  const [{ volume }] = (await rig.sql<{ volume: string }>(
    `select volume from candles where symbol = 'AAPL' and interval = '5m' and ts = $1`,
    [new Date(at(0, 20))],
  )) as [{ volume: string }];
  const [{ rsi }] = (await rig.sql<{ rsi: number }>(
    `select rsi from candles where symbol = 'AAPL' and interval = '1m' and ts = $1`,
    [new Date(at(2, 77))],
  )) as [{ rsi: number }];
  await rig.sql(`update candles set volume = 7 where symbol = 'AAPL' and interval = '5m' and ts = $1`, [
    new Date(at(0, 20)),
  ]);
  await rig.sql(`update candles set rsi = 1 where symbol = 'AAPL' and interval = '1m' and ts = $1`, [
    new Date(at(2, 77)),
  ]);
  await rig.sql(`delete from candles where symbol = 'MSFT' and interval = '1h' and ts = $1`, [new Date(at(1, 30))]);
  await rig.sql(
    `insert into candles select (jsonb_populate_record(c, $1)).* from candles c
     where symbol = 'MSFT' and interval = '5m' order by ts limit 1`,
    [{ ts: new Date(at(1, 400)).toISOString(), seq: -1 }],
  );

  // What was stored is told before the next commit: of all that was delivered nothing is heard from here on.
  for (const symbol of ['AAPL', 'MSFT']) await rig.consumed(symbol);
  const heard: { type: string; seq: number; candle?: { timestamp: string; volume: number } }[] = [];
  await rig.bus.subscribe(channelsOf('test').candles('5m', 'AAPL'), (text) => heard.push(JSON.parse(text)));
  const removals: string[] = [];
  await rig.bus.subscribe(channelsOf('test').candles('5m', 'MSFT'), (text) => removals.push(text));
  const { seq } = (await rig.store.head('AAPL', '5m'))!;
  await rig.order('r', ['AAPL', 'MSFT']);
  let over = false;
  let minutes = 0;
  const live = (async () => {
    for (; !over; minutes++) {
      await rig.append('AAPL', at(DAYS, minutes + 1), [
        bar({ openTime: at(DAYS, minutes), close: 100 + (minutes % 9) }),
      ]);
      await rig.consumed('AAPL');
    }
  })();
  const { parts, differencesJson } = await rig.rebuilt('r').finally(() => {
    over = true;
  });
  await live;

  const expected: RebuildDifference[] = [
    {
      symbol: 'AAPL',
      interval: '5m',
      timestamp: iso(at(0, 20)),
      kind: 'different',
      fields: { volume: { stored: 7, rebuilt: Number(volume) } },
    },
    { symbol: 'MSFT', interval: '1h', timestamp: iso(at(1, 30)), kind: 'missing', fields: {} },
    { symbol: 'MSFT', interval: '5m', timestamp: iso(at(1, 400)), kind: 'extra', fields: {} },
    {
      symbol: 'AAPL',
      interval: '1m',
      timestamp: iso(at(2, 77)),
      kind: 'different',
      fields: { RSI: { stored: 1, rebuilt: rsi } },
    },
  ];
  expect(told(differencesJson)).toEqual(told(JSON.stringify(expected)));
  expect(parts).toMatchObject([{ found: 2 }, { found: 2 }]);
  expect(await rig.candles(`ts < '${new Date(at(DAYS - 1, 700)).toISOString()}'`)).toEqual(right);

  await waitFor(() => removals.length > 0, { what: 'the removal is told' });
  expect(removals.map((text) => JSON.parse(text))).toMatchObject([{ type: 'changed', symbol: 'MSFT', interval: '5m' }]);
  expect(heard.find(({ candle }) => candle?.timestamp === iso(at(0, 20)))).toMatchObject({
    candle: { volume: Number(volume) },
  });
  // Whoever follows the series finds a number for every change, those of the live bars between them.
  const { seq: last } = (await rig.store.head('AAPL', '5m'))!;
  await waitFor(() => heard.some((message) => message.seq === last), { what: 'the last change is told' });
  expect([...new Set(heard.map((message) => message.seq))]).toEqual(
    Array.from({ length: last - seq }, (_, i) => seq + 1 + i),
  );
  expect(minutes).toBeGreaterThan(0);
});

it('an owner that goes on where another ended tells and corrects the rest, nothing twice', async () => {
  await rig.start('loader').then(async (loader) => {
    await deliver('AAPL');
    await rig.stop(loader);
  });
  const right = await rig.candles();
  await rig.sql(`update candles set vwap = 1 where symbol = 'AAPL' and interval = '1h'`);
  const hours = await count(`interval = '1h'`);
  let steps = 0;
  const first = await rig.start('first', {
    commitRebuild: async (...step) => {
      if (++steps > 2) throw Object.assign(new Error('away'), { retryable: true });
      return rig.store.commitRebuild(...step);
    },
  });
  await rig.order('r', ['AAPL']);
  await waitFor(() => steps > 2, { what: 'two days are rebuilt' });
  await rig.stop(first);
  const half = (await rig.store.rebuild('r'))!.parts[0]!;
  expect(half).toMatchObject({ done: false });
  expect(half.found).toBeGreaterThan(0);
  expect(half.found).toBeLessThan(hours);

  await rig.start('second');
  const { parts, differencesJson } = await rig.rebuilt('r');
  expect(parts).toMatchObject([{ found: hours, compared: await count() }]);
  expect(JSON.parse(differencesJson)).toHaveLength(hours);
  expect(await rig.candles()).toEqual(right);
});

it('an order that stands in the journal twice is carried out once', async () => {
  await rig.start('one');
  await deliver('AAPL');
  await rig.sql(`update candles set vwap = 1 where symbol = 'AAPL' and interval = '1h'`);
  await rig.order('r', ['AAPL']);
  const report = await rig.rebuilt('r');
  await rig.append('AAPL', null, [], { id: 'r', symbols: ['AAPL'], from: null });
  await rig.append('AAPL', null, [], { id: 'never asked for', symbols: ['AAPL'], from: null });
  await rig.consumed('AAPL');
  expect(await rig.store.rebuild('r')).toEqual(report);
});

it('a symbol that cannot be rebuilt is given up, and live bars go on', async () => {
  await rig.start('one', { commitRebuild: () => Promise.reject(new Error('value out of range')) });
  await deliver('AAPL');
  await rig.order('r', ['AAPL']);
  expect((await rig.rebuilt('r')).parts).toMatchObject([{ done: true, error: 'value out of range' }]);
  await rig.append('AAPL', at(DAYS, 1), [bar({ openTime: at(DAYS, 0), close: 77 })]);
  await waitFor(async () => (await count(`close = 77`)) > 0, { what: 'the bar is stored' });
});

function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000', '');
}
