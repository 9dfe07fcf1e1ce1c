import { type Candle, encodeCandle, MARKET_STATUSES, MINUTE_MS } from '@candlewire/contracts';
import { waitFor } from '@candlewire/testkit';
import fc from 'fast-check';
import type { Claim } from './store';
import { at, candle, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

let test: TestStore;
let claims: Map<number, Claim>;

beforeAll(async () => {
  test = await testStore();
  claims = new Map((await test.store.claim('me', 600_000, 16)).map((claim) => [claim.partition, claim]));
});
afterAll(() => test.drop());

const fence = (partition: number) => claims.get(partition)!.fence;
const stored = async (symbol: string): Promise<Candle[]> => {
  const [answer] = await test.store.answer([
    { kind: 'candles', symbol, interval: '1m', from: 0, to: Number.POSITIVE_INFINITY, limit: 1e6 },
  ]);
  return answer as Candle[];
};
const position = async (partition: number) => {
  const [row] = await test.sql<{ entry: string; clock: string | null; journal_id: string; commit_no: string }>(
    'select entry, clock, journal_id, commit_no from partitions where p = $1',
    [partition],
  );
  return { ...row!, entry: Number(row!.entry), commit_no: Number(row!.commit_no) };
};

describe('commit', () => {
  it('stores candles, the heads of their series, the symbol and the position', async () => {
    const one = candles(3);
    const hour = candles(1, '1h');
    expect(await test.store.commit(0, fence(0), at(7), [changes('AAPL', change('1m', one), change('1h', hour))])).toBe(
      1,
    );
    expect(await stored('AAPL')).toEqual(one);
    expect(await position(0)).toEqual({ entry: 7, clock: String(MONDAY + 7), journal_id: 'journal', commit_no: 1 });
    expect(
      await test.sql(`select symbol, interval, p, seq::int, seq_before::int, commit_no::int from series order by 2`),
    ).toEqual([
      { symbol: 'AAPL', interval: '1h', p: 0, seq: 1, seq_before: 0, commit_no: 1 },
      { symbol: 'AAPL', interval: '1m', p: 0, seq: 3, seq_before: 0, commit_no: 1 },
    ]);
    expect(await test.store.knowsSymbol('AAPL')).toBe(true);
  });

  it('replaces candles by their later states and appends new ones', async () => {
    const first = candles(2);
    await test.store.commit(1, fence(1), at(1), [changes('MSFT', change('1m', first))]);
    const again = candle(3, { ...first[1]!, close: 7, final: false, vwap: null, revision: 2, seq: 3 });
    const next = candle(4, { openTime: MONDAY + 2 * MINUTE_MS });
    expect(await test.store.commit(1, fence(1), at(2), [changes('MSFT', change('1m', [again, next]))])).toBe(2);
    expect(await stored('MSFT')).toEqual([first[0], again, next]);
  });

  it('stores a minute of which only rev moved without numbering it', async () => {
    const [minute] = candles(1);
    await test.store.commit(2, fence(2), at(1), [changes('A', change('1m', [minute!]))]);
    const touched = { ...minute!, rev: 4 };
    const quiet = { interval: '1m', seqBefore: 1, seq: 1, changed: [], touched: [touched] } as const;
    expect(await test.store.commit(2, fence(2), at(2), [changes('A', quiet)])).toBe(2);
    expect(await stored('A')).toEqual([touched]);
    expect(await test.sql(`select commit_no::int from series where symbol = 'A'`)).toEqual([{ commit_no: 1 }]);
  });

  it('never lets the seq of a candle fall', async () => {
    const newer = candle(9, { openTime: MONDAY });
    await test.store.commit(2, fence(2), at(3), [changes('B', change('1m', [newer]))]);
    await test.store.commit(2, fence(2), at(4), [changes('B', change('1m', [candle(5, { openTime: MONDAY })]))]);
    expect(await stored('B')).toEqual([newer]);
  });

  it('refuses a number that was given to another candle of the series', async () => {
    await test.store.commit(2, fence(2), at(5), [changes('C', change('1m', candles(2)))]);
    const twice = candle(2, { openTime: MONDAY + 9 * MINUTE_MS });
    await expect(test.store.commit(2, fence(2), at(6), [changes('C', change('1m', [twice]))])).rejects.toMatchObject({
      code: '23505',
      constraint: 'candles_numbering',
    });
    expect((await position(2)).entry).toBe(5);
  });

  it.each([{ close: Number.NaN }, { high: Number.POSITIVE_INFINITY }, { ma40: Number.NaN }])(
    'refuses numbers that JSON cannot hold: %p',
    async (fields) => {
      const before = await position(3);
      const poison = [changes('POISON', change('1m', [...candles(1), candle(2, fields)]))];
      await expect(test.store.commit(3, fence(3), at(99), poison)).rejects.toMatchObject({ code: '23514' });
      expect(await stored('POISON')).toEqual([]);
      expect(await position(3)).toEqual(before);
    },
  );

  it('moves the position where nothing changed', async () => {
    const before = await position(3);
    expect(await test.store.commit(3, fence(3), { journalId: null, entry: 12, clock: null }, [])).toBe(
      before.commit_no + 1,
    );
    expect(await position(3)).toEqual({ entry: 12, clock: null, journal_id: null, commit_no: before.commit_no + 1 });
  });

  it('keeps the symbol of a registered name as it is', async () => {
    await test.store.register([{ symbol: 'NAMED', name: 'Named Inc.' }]);
    await test.store.deactivate('NAMED');
    await test.store.commit(3, fence(3), at(13), [changes('NAMED', change('1m', candles(1)))]);
    expect(await test.store.symbols('NAMED')).toMatchObject([{ name: 'Named Inc.', active: false }]);
  });

  it('makes a symbol that nobody registered active in a replay alone', async () => {
    await test.store.commit(3, fence(3), at(14), [changes('PLAYED', change('1m', candles(1)))]);
    await test.sql(`update store set source = 'simulator'`);
    await test.store.commit(3, fence(3), at(15), [changes('WATCHED', change('1m', candles(1)))]);
    await test.sql(`update store set source = 'replay'`);
    expect(await test.store.symbols('PLAYED')).toMatchObject([{ active: true }]);
    expect(await test.store.symbols('WATCHED')).toMatchObject([{ active: false }]);
    expect(await test.store.register([{ symbol: 'WATCHED', name: null }])).toEqual([]);
    expect(await test.store.symbols('WATCHED')).toMatchObject([{ active: true }]);
  });

  it('writes 50,000 candles at once', async () => {
    const many = candles(50_000);
    await test.store.commit(4, fence(4), at(1), [changes('MANY', change('1m', many))]);
    const [row] = await test.sql<{ n: number; sum: number }>(
      `select count(*)::int as n, sum(close) as sum from candles where symbol = 'MANY'`,
    );
    expect(row!.n).toBe(50_000);
    const [last] = await test.store.lastCommit(4);
    // As text: comparing objects would take longer than all the rest.
    expect(JSON.stringify(last!.change.changed)).toBe(JSON.stringify(many));
  });
});

describe('a commit whose fence no longer holds', () => {
  /** All that a commit may write. */
  const everything = async (): Promise<Record<string, string>> => {
    const digest = (table: string) => `(select md5(string_agg(t::text, ',' order by t::text)) from ${table} t)`;
    const tables = ['partitions', 'series', 'symbols', 'candles'];
    const [row] = await test.sql<Record<string, string>>(
      `select ${tables.map((table) => `${digest(table)} as ${table}`).join(', ')}`,
    );
    return row!;
  };

  it('writes nothing, its position included', async () => {
    await test.store.commit(5, fence(5), at(1), [changes('F', change('1m', candles(2)))]);
    const before = await everything();
    const late = [changes('F', change('1m', candles(2, '1m', 3))), changes('NEWCOMER', change('1m', candles(1)))];
    expect(await test.store.commit(5, fence(5) - 1, at(2), late)).toBeNull();
    expect(await test.store.commit(5, fence(5) + 1, at(2), late)).toBeNull();
    expect(await everything()).toEqual(before);
  });

  it('writes nothing where the partition is taken over while it waits', async () => {
    const successor = await test.client();
    await successor.query('begin');
    await successor.query('update partitions set fence = fence + 1 where p = 5');
    const paused = test.store.commit(5, fence(5), at(3), [changes('F', change('1m', candles(2, '1m', 3)))]);
    await waitFor(async () => {
      const waiting = await test.sql(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length === 1;
    });
    const before = await everything();
    await successor.query('commit');
    expect(await paused).toBeNull();
    expect(await everything()).toEqual({ ...before, partitions: expect.any(String) });
    expect((await position(5)).entry).toBe(1);
  });
});

describe('what was committed', () => {
  const odd = [5e-324, 0.1 + 0.2, 1e21, 123456789.12345679, Number.MAX_VALUE, 2 ** -1022, 1 / 3, 0, -0];
  const double = fc.oneof(fc.constantFrom(...odd), fc.double({ noNaN: true, noDefaultInfinity: true }));
  const nullable = fc.option(double);
  const whole = fc.nat({ max: 1_440_000_000_000_000 });
  const anyCandle = fc.record<Candle>({
    openTime: fc.integer({ min: -36_000_000, max: 90_000_000 }).map((minute) => minute * MINUTE_MS),
    open: double,
    high: double,
    low: double,
    close: double,
    volume: whole,
    vwap: nullable,
    tradeCount: fc.option(whole),
    status: fc.constantFrom(...MARKET_STATUSES),
    rsi: nullable,
    avgGain: double,
    avgLoss: double,
    avgRange: double,
    ma40: nullable,
    ma80: nullable,
    ma160: nullable,
    final: fc.boolean(),
    rev: fc.constantFrom(0, 1, 2, 3, 4),
    revision: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    seq: fc.constant(0),
  });
  /** -0 is stored as 0: it is 0 on the wire as well. */
  const withoutMinusZero = (c: Candle): Candle =>
    Object.fromEntries(Object.entries(c).map(([key, value]) => [key, value === 0 ? 0 : value])) as unknown as Candle;

  it('comes back bit for bit, and as JSON like encodeCandle prints it', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(anyCandle, { minLength: 1, maxLength: 40, selector: (c) => c.openTime }),
        async (drawn) => {
          const symbol = `P${++run}`;
          const ordered = drawn.sort((a, b) => a.openTime - b.openTime).map((c, i) => ({ ...c, seq: i + 1 }));
          await test.store.commit(6, fence(6), at(run), [changes(symbol, change('1m', ordered))]);
          expect(await stored(symbol)).toEqual(ordered.filter((c) => c.openTime >= 0).map(withoutMinusZero));
          const [last] = await test.store.lastCommit(6);
          expect(last!.change.changed).toEqual(ordered.map(withoutMinusZero));
          const wire = ordered.map((c) => JSON.parse(encodeCandle(c)));
          const range = { symbol, interval: '1m', from: null, to: null, limit: 40 } as const;
          for (const direction of ['back', 'forward'] as const) {
            const page = await test.store.candles({ ...range, direction });
            expect(JSON.parse(`[${page.candlesJson}]`)).toEqual(wire);
          }
          const { changes: changed } = await test.store.changes({ symbol, interval: '1m', after: 0, limit: 40 });
          expect(changed.map(({ candleJson }) => JSON.parse(candleJson))).toEqual(wire);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps the order of keys and the form of everything but odd numbers, byte by byte', async () => {
    const plain = candles(20, '1m', 1, {}).map((c) =>
      c.seq === 20 ? { ...c, volume: 0, tradeCount: null, final: false } : c,
    );
    await test.store.commit(7, fence(7), at(1), [changes('BYTES', change('1m', plain))]);
    const page = await test.store.candles({
      symbol: 'BYTES',
      interval: '1m',
      direction: 'forward',
      from: null,
      to: null,
      limit: 100,
    });
    expect(page.candlesJson).toBe(plain.map(encodeCandle).join(','));
  });
});

describe('lastCommit', () => {
  it('holds the series and candles of the newest commit only', async () => {
    await test.store.commit(8, fence(8), at(1), [
      changes('L1', change('1m', candles(5)), change('5m', candles(1, '5m'))),
      changes('L2', change('1m', candles(1))),
    ]);
    const again = candle(6, { openTime: MONDAY, revision: 2 });
    const next = candle(7, { openTime: MONDAY + 5 * MINUTE_MS });
    await test.store.commit(8, fence(8), at(2), [changes('L1', change('1m', [again, next]))]);
    expect(await test.store.lastCommit(8)).toEqual([
      { symbol: 'L1', change: { interval: '1m', seqBefore: 5, seq: 7, changed: [again, next], touched: [] } },
    ]);
  });

  it('is empty before the first commit and after one that changed nothing', async () => {
    expect(await test.store.lastCommit(9)).toEqual([]);
    await test.store.commit(8, fence(8), at(3), []);
    expect(await test.store.lastCommit(8)).toEqual([]);
  });
});

describe('openSymbols', () => {
  it('names the symbols of the partition that a clock may change', async () => {
    const open = (symbol: string) => changes(symbol, change('1h', candles(1, '1h', 1, { final: false })));
    await test.store.commit(10, fence(10), at(1), [open('O2'), open('O1'), changes('O3', change('1m', candles(2)))]);
    await test.store.commit(11, fence(11), at(1), [open('O4')]);
    expect(await test.store.openSymbols(10)).toEqual(['O1', 'O2']);
    await test.store.commit(10, fence(10), at(2), [changes('O2', change('1h', candles(1, '1h', 1, { seq: 2 })))]);
    expect(await test.store.openSymbols(10)).toEqual(['O1']);
  });
});
