import type { Past, SymbolSnapshot } from '@candlewire/candles';
import type { Candle } from '@candlewire/contracts';
import { at, candles, change, changes, type TestStore, testStore } from './store.suite';

let test: TestStore;

describe('a need of the engine', () => {
  const none: Past = { closes: [], avgGain: 0, avgLoss: 0, avgRange: 0 };
  const minutes = candles(200).map((c) => (c.seq === 190 || c.seq >= 199 ? { ...c, final: false } : c));
  const fives = candles(3, '5m');
  const pastOf = (before: readonly Candle[]): Past => {
    const last = before.at(-1);
    if (!last) return none;
    const { avgGain, avgLoss, avgRange } = last;
    return { closes: before.slice(-160).map((c) => c.close), avgGain, avgLoss, avgRange };
  };

  beforeAll(async () => {
    test = await testStore();
    const [claim] = await test.store.claim('me', 600_000, 1);
    await test.store.commit(0, claim!.fence, at(1), [
      changes('N', change('1m', minutes), change('5m', fives), change('1d', candles(1, '1d'))),
      changes('N2', change('1m', candles(2))),
    ]);
  });
  afterAll(() => test.drop());

  it('for a symbol is answered by its four series, whether they exist or not', async () => {
    const empty = { seq: 0, head: null, past: none, firstOpen: null };
    const [n, unknown, n2] = (await test.store.answer([
      { kind: 'symbol', symbol: 'N' },
      { kind: 'symbol', symbol: 'UNKNOWN' },
      { kind: 'symbol', symbol: 'N2' },
    ])) as SymbolSnapshot[];
    expect(n).toEqual({
      '1m': { seq: 200, head: minutes[199], past: pastOf(minutes.slice(0, 199)), firstOpen: minutes[189]!.openTime },
      '5m': { seq: 3, head: fives[2], past: pastOf(fives.slice(0, 2)), firstOpen: null },
      '1h': empty,
      '1d': { seq: 1, head: candles(1, '1d')[0], past: none, firstOpen: null },
    });
    expect(unknown).toEqual({ '1m': empty, '5m': empty, '1h': empty, '1d': empty });
    expect(n2!['1m']).toMatchObject({ seq: 2, head: candles(2)[1] });
  });

  it('for candles is answered from `from`, before `to`, ascending, at most `limit`', async () => {
    const from = minutes[10]!.openTime;
    const key = { kind: 'candles', symbol: 'N', interval: '1m' } as const;
    expect(
      await test.store.answer([
        { ...key, from, to: minutes[13]!.openTime, limit: 100 },
        { ...key, from, to: Number.POSITIVE_INFINITY, limit: 4 },
        { ...key, from: from + 1, to: minutes[13]!.openTime, limit: 100 },
        { ...key, from: Number.NEGATIVE_INFINITY, to: from, limit: 1000 },
        { ...key, symbol: 'UNKNOWN', from, to: Number.POSITIVE_INFINITY, limit: 4 },
        { ...key, from, to: Number.POSITIVE_INFINITY, limit: 0 },
      ]),
    ).toEqual([minutes.slice(10, 13), minutes.slice(10, 14), minutes.slice(11, 13), minutes.slice(0, 10), [], []]);
  });

  it('for open candles is answered by those that are not final', async () => {
    const key = { kind: 'open', symbol: 'N', interval: '1m' } as const;
    expect(
      await test.store.answer([
        { ...key, before: Number.POSITIVE_INFINITY, limit: 100 },
        { ...key, before: minutes[199]!.openTime, limit: 100 },
        { ...key, before: Number.POSITIVE_INFINITY, limit: 1 },
        { ...key, interval: '5m', before: Number.POSITIVE_INFINITY, limit: 100 },
      ]),
    ).toEqual([[minutes[189], minutes[198], minutes[199]], [minutes[189], minutes[198]], [minutes[189]], []]);
  });

  it('for the past is answered by what lies before the candle', async () => {
    const key = { kind: 'past', symbol: 'N', interval: '1m' } as const;
    expect(
      await test.store.answer([
        { ...key, before: minutes[0]!.openTime },
        { ...key, before: minutes[1]!.openTime },
        { ...key, before: minutes[170]!.openTime },
        { ...key, before: Number.POSITIVE_INFINITY },
      ]),
    ).toEqual([none, pastOf(minutes.slice(0, 1)), pastOf(minutes.slice(0, 170)), pastOf(minutes)]);
  });

  it('is answered in its place among needs of other kinds', async () => {
    const answers = await test.store.answer([
      { kind: 'past', symbol: 'N', interval: '5m', before: fives[1]!.openTime },
      { kind: 'symbol', symbol: 'N2' },
      { kind: 'open', symbol: 'N2', interval: '1m', before: 0, limit: 1 },
      { kind: 'candles', symbol: 'N', interval: '5m', from: 0, to: Number.POSITIVE_INFINITY, limit: 9 },
      { kind: 'symbol', symbol: 'N' },
      { kind: 'past', symbol: 'N', interval: '5m', before: fives[2]!.openTime },
    ]);
    expect(answers).toMatchObject([
      pastOf(fives.slice(0, 1)),
      { '1m': { seq: 2 } },
      [],
      fives,
      { '1m': { seq: 200 } },
      pastOf(fives.slice(0, 2)),
    ]);
  });

  it('is none: no answer', async () => {
    expect(await test.store.answer([])).toEqual([]);
  });
});
