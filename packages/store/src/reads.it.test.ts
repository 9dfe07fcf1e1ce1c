import { type Candle, encodeCandle, INTERVALS, MINUTE_MS, type WireCandle } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import fc from 'fast-check';
import { CANDLES, OPEN, PAST, SYMBOL } from './answers';
import { connectDatabase, type Database, type Statement } from './connect';
import { CHANGES, PAGE } from './reads';
import type { CandlesQuery } from './store';
import { at, candle, candles, change, changes, MONDAY, type TestStore, testStore } from './store.suite';

let test: TestStore;
let epoch: string;
let fence: number;

beforeAll(async () => {
  test = await testStore();
  epoch = (await test.store.identity())!.epoch;
  fence = (await test.store.claim('me', 600_000, 1))[0]!.fence;
  // 60 minutes with a hole of one after every third.
  const minutes = candles(60).map((c) => ({ ...c, openTime: MONDAY + Math.floor(((c.seq - 1) * 4) / 3) * MINUTE_MS }));
  await test.store.commit(0, fence, at(1), [
    changes('AAPL', change('1m', minutes), change('1h', candles(2, '1h'))),
    changes('MSFT', change('1m', candles(5))),
  ]);
});
afterAll(() => test.drop());

const everything = { symbol: 'AAPL', interval: '1m', direction: 'forward', from: null, to: null, limit: 1000 } as const;
const parse = (json: string) => JSON.parse(`[${json}]`) as WireCandle[];
const times = (json: string) => parse(json).map((c) => Date.parse(c.timestamp));

describe('candles', () => {
  it('answers the newest or the oldest of a range, ascending, with the state of the series', async () => {
    const [first, second] = [MONDAY, MONDAY + MINUTE_MS];
    const page = await test.store.candles({ ...everything, limit: 2 });
    expect(page).toMatchObject({ epoch, seq: 60, count: 2, next: MONDAY + 2 * MINUTE_MS });
    expect(times(page.candlesJson)).toEqual([first, second]);
    const newest = await test.store.candles({ ...everything, direction: 'back', limit: 2 });
    expect(newest).toMatchObject({ epoch, seq: 60, count: 2, next: MONDAY + 76 * MINUTE_MS });
    expect(times(newest.candlesJson)).toEqual([MONDAY + 77 * MINUTE_MS, MONDAY + 78 * MINUTE_MS]);
  });

  it('takes both ends of the range as inclusive', async () => {
    const range = { ...everything, from: MONDAY + MINUTE_MS, to: MONDAY + 4 * MINUTE_MS };
    for (const direction of ['back', 'forward'] as const) {
      const page = await test.store.candles({ ...range, direction });
      expect(times(page.candlesJson)).toEqual([1, 2, 4].map((minute) => MONDAY + minute * MINUTE_MS));
      expect(page.next).toBeNull();
    }
    expect(await test.store.candles({ ...everything, from: MONDAY + 1, to: MONDAY + MINUTE_MS - 1 })).toEqual({
      epoch,
      seq: 60,
      horizon: null,
      candlesJson: '',
      count: 0,
      next: null,
    });
  });

  it('has no next exactly where the page holds the last candle', async () => {
    expect((await test.store.candles({ ...everything, limit: 60 })).next).toBeNull();
    expect((await test.store.candles({ ...everything, limit: 59 })).next).toBe(MONDAY + 78 * MINUTE_MS);
    expect((await test.store.candles({ ...everything, direction: 'back', limit: 59 })).next).toBe(MONDAY);
  });

  it('answers seq 0 and no candles where the series does not exist', async () => {
    expect(await test.store.candles({ ...everything, symbol: 'NOBODY' })).toEqual({
      epoch,
      horizon: null,
      seq: 0,
      candlesJson: '',
      count: 0,
      next: null,
    });
  });

  it('takes bounds that no calendar holds', async () => {
    const page = await test.store.candles({
      ...everything,
      from: Date.UTC(1, 0, 1),
      to: Date.parse('+020000-01-01T00:00:00Z'),
    });
    expect(page.count).toBe(60);
  });

  it('covers everything exactly once, page by page in both directions', async () => {
    const minute = fc.option(fc.integer({ min: -3, max: 82 }).map((n) => MONDAY + n * MINUTE_MS));
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          from: minute,
          to: minute,
          limit: fc.integer({ min: 1, max: 25 }),
          direction: fc.constantFrom('back', 'forward'),
        }),
        async (range) => {
          const query: CandlesQuery = { ...everything, ...range };
          const whole = await test.store.candles({ ...query, limit: 1000 });
          const pages: string[] = [];
          for (let next: CandlesQuery | null = query; next; ) {
            const page = await test.store.candles(next);
            expect(page.count).toBe(parse(page.candlesJson).length);
            expect(page.count).toBeLessThanOrEqual(range.limit);
            if (page.count > 0) pages[query.direction === 'back' ? 'unshift' : 'push'](page.candlesJson);
            if (page.next === null) next = null;
            else next = query.direction === 'back' ? { ...query, to: page.next } : { ...query, from: page.next };
          }
          expect(pages.join(',')).toBe(whole.candlesJson);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads series and candles of one snapshot while they are being written', async () => {
    const rounds = 60;
    const writer = (async () => {
      for (let seq = 1; seq <= rounds; seq++) {
        await test.store.commit(0, fence, at(seq), [changes('RACE', change('1m', [candle(seq)]))]);
      }
    })();
    let seen = 0;
    while (seen < rounds) {
      const page = await test.store.candles({ ...everything, symbol: 'RACE' });
      expect(page.count).toBe(page.seq);
      expect(page.seq).toBeGreaterThanOrEqual(seen);
      seen = page.seq;
    }
    await writer;
  });
});

describe('changes', () => {
  it('answers what changed after a seq, each candle once in its last state, ascending by seq', async () => {
    const one = candles(4);
    await test.store.commit(0, fence, at(2), [changes('CH', change('1m', one))]);
    const again = candle(5, { openTime: MONDAY, revision: 2 });
    await test.store.commit(0, fence, at(3), [changes('CH', change('1m', [again]))]);
    const after = (seq: number, limit: number) =>
      test.store.changes({ symbol: 'CH', interval: '1m', after: seq, limit });
    const change4 = (c: Candle) => ({ seq: c.seq, candleJson: encodeCandle(c) });
    expect(await after(0, 100)).toEqual({ epoch, seq: 5, changes: [one[1]!, one[2]!, one[3]!, again].map(change4) });
    expect(await after(2, 2)).toEqual({ epoch, seq: 5, changes: [one[2]!, one[3]!].map(change4) });
    expect(await after(5, 100)).toEqual({ epoch, seq: 5, changes: [] });
    expect(await test.store.changes({ symbol: 'NOBODY', interval: '1m', after: 0, limit: 1 })).toEqual({
      epoch,
      seq: 0,
      changes: [],
    });
  });
});

describe('head', () => {
  it('is the state that a page of the series has, null where there is no such series', async () => {
    const { epoch: of, seq } = await test.store.candles({ ...everything, limit: 1 });
    expect(await test.store.head('AAPL', '1m')).toEqual({ epoch: of, seq, horizon: null });
    expect(await test.store.head('MSFT', '1h')).toBeNull();
    expect(await test.store.head('NONE', '1m')).toBeNull();
  });
});

describe('heads', () => {
  it('says where the series stand, in the order in which they are asked for', async () => {
    const { epoch } = await test.store.candles({ ...everything, limit: 1 });
    const wanted = [
      { symbol: 'NONE', interval: '1m' },
      { symbol: 'MSFT', interval: '1m' },
      { symbol: 'AAPL', interval: '1h' },
      { symbol: 'AAPL', interval: '1m' },
    ] as const;
    expect(await test.store.heads(wanted)).toEqual({ epoch, seqs: [0, 5, 2, 60] });
    expect(await test.store.heads([])).toEqual({ epoch, seqs: [] });
  });
});

describe('symbols', () => {
  it('shows the newest minute of each, ascending, and knows whoever was seen or registered', async () => {
    expect(await test.store.register([{ symbol: 'ZZ', name: null }])).toEqual(['ZZ']);
    const rows = await test.store.symbols();
    expect(rows.map((row) => row.symbol)).toEqual(rows.map((row) => row.symbol).sort());
    expect(rows).toEqual(
      expect.arrayContaining([
        {
          symbol: 'MSFT',
          name: null,
          active: true,
          last_price: candle(5).close,
          last_timestamp: '2025-11-03T14:34:00Z',
        },
        { symbol: 'ZZ', name: null, active: true, last_price: null, last_timestamp: null },
      ]),
    );
    expect(await test.store.symbols('MSFT')).toEqual(rows.filter((row) => row.symbol === 'MSFT'));
    expect(await test.store.symbols('NOBODY')).toEqual([]);
    expect(await test.store.knowsSymbol('MSFT')).toBe(true);
    expect(await test.store.knowsSymbol('ZZ')).toBe(true);
    expect(await test.store.knowsSymbol('NOBODY')).toBe(false);
  });

  it('registers anew what was deactivated, and keeps the name unless another is given', async () => {
    const named = (name: string | null) => [{ symbol: 'REG', name }];
    expect(await test.store.register([...named('First'), { symbol: 'REG2', name: null }])).toEqual(['REG', 'REG2']);
    expect(await test.store.deactivate('REG')).toBe(true);
    expect(await test.store.symbols('REG')).toMatchObject([{ name: 'First', active: false }]);
    expect(await test.store.register([...named(null), { symbol: 'REG3', name: null }])).toEqual(['REG3']);
    expect(await test.store.symbols('REG')).toMatchObject([{ name: 'First', active: true }]);
    expect(await test.store.register(named('Second'))).toEqual([]);
    expect(await test.store.symbols('REG')).toMatchObject([{ name: 'Second', active: true }]);
    expect(await test.store.deactivate('NOBODY')).toBe(false);
  });
});

describe('plans that are prepared before there is anything to read', () => {
  const ROWS = 15_000;
  const LIMIT = 1_000;
  let db: Database;
  let explained = 0;

  interface Plan {
    readonly 'Node Type': string;
    readonly 'Shared Hit Blocks': number;
    readonly 'Shared Read Blocks': number;
    readonly Plans?: readonly Plan[];
  }
  /** The plan of a statement that this connection prepared while the tables were empty. */
  async function planOf(name: string, values: string): Promise<{ nodes: string[]; buffers: number }> {
    const explain = `explain (analyze, buffers, format json) execute plan_${name}(${values})`;
    const [row] = await db.run<[[{ Plan: Plan }]]>({ name: `explain_${++explained}`, text: explain });
    const [{ Plan: root }] = row![0];
    const nodes = (plan: Plan): string[] => [plan['Node Type'], ...(plan.Plans ?? []).flatMap(nodes)];
    return { nodes: nodes(root), buffers: root['Shared Hit Blocks'] + root['Shared Read Blocks'] };
  }

  beforeAll(async () => {
    await test.sql('truncate candles, series');
    db = connectDatabase(test.url, silentLogger, 1);
    const types: [Statement, string][] = [
      [PAGE.back, 'text, text, timestamptz, timestamptz, int'],
      [PAGE.forward, 'text, text, timestamptz, timestamptz, int'],
      [CHANGES, 'text, text, bigint, int'],
      [SYMBOL, 'text[]'],
      [CANDLES, 'json'],
      [OPEN, 'json'],
      [PAST, 'json'],
    ];
    const empty: Record<string, string> = { 'text[]': `'{A}'`, json: `'[]'` };
    for (const [{ name, text }, parameters] of types) {
      await db.run({ name: `prepare_${name}`, text: `prepare plan_${name}(${parameters}) as ${text}` });
      const values = parameters
        .split(', ')
        .map((type) => empty[type] ?? (type === 'timestamptz' ? `'infinity'` : `'1'`));
      await planOf(name, values.join(', '));
    }
    // Two symbols in turns, as minutes arrive: neighbours of a series do not share pages.
    const minutes = candles(ROWS).map((c) => ({ ...c, final: c.seq < ROWS - 1 }));
    for (let from = 0; from < ROWS; from += 500) {
      const batch = minutes.slice(from, from + 500);
      await test.store.commit(0, fence, at(from), [
        changes('PLAN', change('1m', batch)),
        changes('PLAN2', change('1m', batch)),
      ]);
    }
  });
  afterAll(() => db.close());

  const request = { n: 0, symbol: 'PLAN', interval: '1m', to: 'infinity', limit: LIMIT };
  const middle = `'${new Date(MONDAY + (ROWS / 2) * MINUTE_MS).toISOString()}'`;
  it.each([
    ['page_back', `'PLAN', '1m', '-infinity', 'infinity', ${LIMIT}`, LIMIT],
    ['page_back', `'PLAN', '1m', '-infinity', ${middle}, ${LIMIT}`, LIMIT],
    ['page_forward', `'PLAN', '1m', '-infinity', 'infinity', ${LIMIT}`, LIMIT],
    ['page_forward', `'PLAN', '1m', ${middle}, 'infinity', ${LIMIT}`, LIMIT],
    ['changes', `'PLAN', '1m', ${ROWS / 2}, ${LIMIT}`, LIMIT],
    ['answer_candles', `'${JSON.stringify([{ ...request, from: '-infinity' }])}'`, LIMIT],
    ['answer_open', `'${JSON.stringify([request])}'`, 2],
    ['answer_past', `'${JSON.stringify([request])}'`, 160],
    ['answer_symbol', `'{PLAN}'`, 160 * INTERVALS.length],
  ] as const)('read %s(%s) by index alone', async (name, values, limit) => {
    const { nodes, buffers } = await planOf(name, values);
    expect(nodes.filter((node) => /^(Seq|Bitmap|Hash|Merge|Materialize)/.test(node))).toEqual([]);
    expect(buffers).toBeGreaterThan(0);
    expect(buffers).toBeLessThanOrEqual(limit + 50);
  });
});
