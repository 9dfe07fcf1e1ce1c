import { type Bar, DAY_MS, MINUTE_MS } from '@candlewire/contracts';
import { bar, waitFor } from '@candlewire/testkit';
import { createRig, type Rig } from './rig.suite';

/** A Monday, 09:30 New York, and its midnight. */
const OPEN = Date.UTC(2025, 10, 3, 14, 30);
const MIDNIGHT = Date.UTC(2025, 10, 3, 5);
const at = (day: number, minute: number) => OPEN + day * DAY_MS + minute * MINUTE_MS;

function day(n: number, count = 130): Bar[] {
  return Array.from({ length: count }, (_, minute) =>
    bar({
      openTime: at(n, minute - 30),
      close: 100 + 5 * Math.sin((n * 977 + minute) * 12.9898),
      volume: 100 + minute,
    }),
  );
}

let rig: Rig;
let twin: Rig;
beforeEach(async () => {
  [rig, twin] = await Promise.all([createRig(), createRig()]);
});
afterEach(() => Promise.all([rig.close(), twin.close()]));

const minutesBefore = async (of: Rig, time: number) =>
  (
    await of.sql<{ n: number }>(
      `select count(*)::int as n from candles where interval = '1m' and symbol = 'AAPL' and ts < $1`,
      [new Date(time)],
    )
  )[0]!.n;
const horizon = async () =>
  Math.max(
    ...(await rig.sql<{ horizon: Date | null }>('select horizon from partitions')).map((row) => Number(row.horizon)),
  );
/** It follows the commit that moved the clock. */
const horizonIs = (time: number) => waitFor(async () => (await horizon()) === time, { what: 'the horizon has moved' });

async function deliverDays(to: readonly Rig[], days: number): Promise<void> {
  for (const one of to) {
    for (let n = 0; n < days; n++) await one.append('AAPL', at(n, 180), day(n));
    await one.consumed('AAPL');
  }
}

it('minutes go two days behind the journal, and corrections since then change the same bits as if all were there', async () => {
  const aggregator = await rig.start('one', {}, { retentionDays: 2 });
  await twin.start('one');
  await deliverDays([rig, twin], 5);
  // The clock is in day 4: days 2 and 3 are kept whole, and 161 minutes before them.
  await horizonIs(MIDNIGHT + 2 * DAY_MS);
  await waitFor(async () => (await minutesBefore(rig, MIDNIGHT + 2 * DAY_MS)) === 161, {
    what: 'old minutes are deleted',
  });
  await waitFor(() => aggregator.counters.deleted === 2 * 130 - 161, { what: 'they are counted' });

  const corrections = [
    bar({ openTime: at(2, -30), close: 140, rev: 2 }),
    bar({ openTime: at(2, -29), close: 60, rev: 2 }),
    bar({ openTime: MIDNIGHT + 2 * DAY_MS, close: 90 }),
    bar({ openTime: at(4, 50), close: 120, rev: 1 }),
  ];
  const tooOld = [
    bar({ openTime: at(1, 0), close: 500, rev: 4 }),
    bar({ openTime: MIDNIGHT + 2 * DAY_MS - MINUTE_MS }),
  ];
  await rig.append('AAPL', null, [...tooOld, ...corrections]);
  await twin.append('AAPL', null, corrections);
  const more = Array.from({ length: 40 }, (_, minute) =>
    bar({ openTime: at(4, 100 + minute), close: 100 + minute / 7 }),
  );
  for (const one of [rig, twin]) {
    await one.append('AAPL', at(4, 140), more);
    await one.consumed('AAPL');
  }
  expect(aggregator.counters.refused).toEqual({ too_old: 2 });
  const kept = `(interval <> '1m' or ts >= '${new Date(MIDNIGHT + 2 * DAY_MS).toISOString()}')`;
  expect(await rig.candles(kept)).toEqual(await twin.candles(kept));

  // A rebuild begins at the horizon, whatever it was asked for.
  await rig.order('r', ['AAPL']);
  const { parts } = await rig.rebuilt('r');
  expect(parts).toMatchObject([{ found: 0 }]);
  expect(parts[0]!.compared).toBe(
    (await rig.candles(`ts >= '${new Date(MIDNIGHT + 2 * DAY_MS).toISOString()}'`)).length,
  );
});

it('a symbol that has not traded for long keeps its newest minutes, and goes on from them', async () => {
  await rig.start('one', {}, { retentionDays: 2 });
  await twin.start('one');
  for (const one of [rig, twin]) {
    for (let n = 0; n < 2; n++) await one.append('AAPL', at(n, 180), day(n));
    await one.append('AAPL', at(20, 0), []);
    await one.consumed('AAPL');
  }
  await waitFor(async () => (await minutesBefore(rig, at(20, 0))) === 161, { what: 'old minutes are deleted' });
  for (const one of [rig, twin]) {
    await one.append('AAPL', at(20, 60), day(20, 60));
    await one.consumed('AAPL');
  }
  const since = `(interval <> '1m' or ts >= '${new Date(at(19, 0)).toISOString()}')`;
  expect(await rig.candles(since)).toEqual(await twin.candles(since));
});

it('an owner that dies between horizon and deletion leaves both to the next one, whatever that is told to keep', async () => {
  const first = await rig.start(
    'first',
    { deleteMinutes: () => Promise.reject(new Error('away')) },
    { retentionDays: 2 },
  );
  await deliverDays([rig], 5);
  await horizonIs(MIDNIGHT + 2 * DAY_MS);
  await rig.stop(first);
  expect(await minutesBefore(rig, MIDNIGHT + 2 * DAY_MS)).toBe(260);

  const second = await rig.start('second');
  await waitFor(async () => (await minutesBefore(rig, MIDNIGHT + 2 * DAY_MS)) === 161, { what: 'the rest is deleted' });
  await rig.append('AAPL', at(4, 181), [bar({ openTime: at(1, 0), rev: 4 })]);
  await rig.consumed('AAPL');
  expect(second.counters.refused).toEqual({ too_old: 1 });
});

it('an owner that dies between the commit and the horizon is followed by one that moves it first', async () => {
  const away = () => Promise.reject(Object.assign(new Error('away'), { retryable: true }));
  // All waits when it starts: one commit holds them, and the horizon comes behind that one.
  for (let n = 0; n < 5; n++) await rig.append('AAPL', at(n, 180), day(n));
  const first = await rig.start('first', { moveHorizon: away }, { retentionDays: 2 });
  const committed = () => rig.sql('select from partitions where clock = $1', [at(4, 180)]);
  await waitFor(async () => (await committed()).length > 0, { what: 'the days are stored' });
  await rig.stop(first);
  expect(await horizon()).toBe(0);

  const second = await rig.start('second', {}, { retentionDays: 2 });
  await rig.append('AAPL', null, [bar({ openTime: at(1, 0), rev: 4 })]);
  await waitFor(() => second.counters.refused.too_old === 1, { what: 'the bar is refused' });
  expect(await horizon()).toBe(MIDNIGHT + 2 * DAY_MS);
});

it('which bars are refused follows from the journal alone, however its entries fall into batches', async () => {
  const entries: [number | null, Bar[]][] = [];
  for (let n = 0; n < 6; n++) {
    entries.push([at(n, 180), day(n, 20)]);
    // Each day a bar of two days and one of three days ago: before the clock of the entry has passed, and after.
    if (n > 2) entries.push([null, [bar({ openTime: at(n - 2, 50) }), bar({ openTime: at(n - 3, 50) })]]);
    entries.push([at(n + 1, -120), [bar({ openTime: at(n - 2, 60) })]]);
  }
  // All waits when the one starts; the other gets each entry alone.
  for (const [clock, bars] of entries) await rig.append('AAPL', clock, bars);
  const one = await rig.start('one', {}, { retentionDays: 2 });
  const other = await twin.start('one', {}, { retentionDays: 2 });
  for (const [clock, bars] of entries) {
    await twin.append('AAPL', clock, bars);
    await twin.consumed('AAPL');
  }
  await rig.consumed('AAPL');
  expect(one.counters.refused).toEqual(other.counters.refused);
  expect(one.counters.refused.too_old).toBe(3);
  await horizonIs(MIDNIGHT + 4 * DAY_MS);
  const kept = `(interval <> '1m' or ts >= '${new Date(await horizon()).toISOString()}')`;
  expect(await rig.candles(kept)).toEqual(await twin.candles(kept));
});
