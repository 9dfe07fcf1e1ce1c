import fc from 'fast-check';
import { BAR_REFUSALS, type Bar, type BarRefusal, decodeBar, encodeBar, isRefusal, parseBar, type RawBar } from './bar';
import { DAY_MS, MINUTE_MS } from './interval';
import { BarMessage } from './messages';

const OPEN_TIME = Date.UTC(2025, 10, 3, 14, 30);
const CLOCK = OPEN_TIME + MINUTE_MS;
const GOOD: Bar = {
  symbol: 'AAPL',
  openTime: OPEN_TIME,
  open: 100,
  high: 101.5,
  low: 99.25,
  close: 101,
  volume: 1_200,
  tradeCount: 17,
  vwap: 100.375,
  rev: 0,
};

function parsed(fields: RawBar): Bar | BarRefusal {
  return parseBar({ ...GOOD, ...fields }, CLOCK);
}

/** Every reason, each with inputs that differ from a good bar in that one thing. */
const REFUSED: Readonly<Record<BarRefusal, readonly RawBar[]>> = {
  bad_symbol: [{ symbol: undefined }, { symbol: '' }, { symbol: 'A/B' }, { symbol: 7 }, { symbol: '1A' }],
  missing_field: [
    { openTime: undefined },
    { open: null },
    { high: undefined },
    { low: null },
    { close: undefined },
    { volume: null },
  ],
  not_a_number: [
    { open: '100' },
    { high: Number.NaN },
    { low: Number.NEGATIVE_INFINITY },
    { close: {} },
    { volume: true },
    { volume: Number.POSITIVE_INFINITY },
    { tradeCount: '17' },
    { vwap: Number.NaN },
  ],
  bad_timestamp: [
    { openTime: Number.NaN },
    { openTime: '2025-11-03' },
    { openTime: Number.POSITIVE_INFINITY },
    { openTime: Date.UTC(1900, 0, 1) - MINUTE_MS },
  ],
  off_the_minute: [{ openTime: OPEN_TIME + 1 }, { openTime: OPEN_TIME + 30_000 }, { openTime: OPEN_TIME + 0.5 }],
  ahead_of_time: [{ openTime: CLOCK + DAY_MS + MINUTE_MS }],
  non_positive_price: [
    { open: 0 },
    { high: 0 },
    { high: -1 },
    { low: 0 },
    { low: -0.01 },
    { close: -0 },
    { vwap: 0 },
    { vwap: -1 },
  ],
  high_below_low: [{ low: 102, high: 101 }],
  outside_range: [{ open: 99 }, { open: 102 }, { close: 99 }, { close: 102 }],
  negative_volume: [{ volume: -1 }, { tradeCount: -1 }],
  fractional_volume: [{ volume: 0.5 }, { tradeCount: 1.5 }],
  too_large: [{ high: 1e9 + 1 }, { volume: 1e12 + 1 }, { tradeCount: 1e12 + 1 }, { vwap: 1e9 + 1 }],
  bad_rev: [{ rev: undefined }, { rev: -1 }, { rev: 5 }, { rev: 0.5 }, { rev: '0' }],
};

describe('parseBar', () => {
  test('takes a good bar as it stands', () => {
    expect(parsed({})).toEqual(GOOD);
  });

  test.each(BAR_REFUSALS.map((reason) => [reason] as const))('refuses as %s', (reason) => {
    const results = REFUSED[reason].map(parsed);
    expect(results).toEqual(results.map(() => reason));
    expect(results).not.toHaveLength(0);
  });

  test('raises a lower case symbol', () => {
    expect(parsed({ symbol: 'brk.b' })).toEqual({ ...GOOD, symbol: 'BRK.B' });
  });

  test('takes what lies exactly on a boundary', () => {
    for (const fields of [
      { openTime: CLOCK + DAY_MS },
      { openTime: Date.UTC(1900, 0, 1) },
      { open: 99.25, close: 101.5 },
      { open: 100, high: 100, low: 100, close: 100 },
      { high: 1e9 },
      { low: Number.MIN_VALUE },
      { volume: 0, tradeCount: 0 },
      { volume: 1e12, tradeCount: 1e12 },
      { vwap: 1e9 },
      { vwap: Number.MIN_VALUE },
      { rev: 4 },
    ] as const) {
      expect(parsed(fields)).toEqual({ ...GOOD, ...fields });
    }
  });

  test('takes a vwap outside low..high', () => {
    expect(parsed({ vwap: 300 })).toEqual({ ...GOOD, vwap: 300 });
  });

  test('takes an absent trade count or vwap as null', () => {
    expect(parsed({ tradeCount: undefined, vwap: undefined })).toEqual({ ...GOOD, tradeCount: null, vwap: null });
    expect(parsed({ tradeCount: null, vwap: null })).toEqual({ ...GOOD, tradeCount: null, vwap: null });
  });

  test('takes the vwap 0 of a minute without volume as absent, and keeps one that is a price', () => {
    expect(parsed({ volume: 0, vwap: 0 })).toEqual({ ...GOOD, volume: 0, vwap: null });
    expect(parsed({ volume: 0, vwap: 100 })).toEqual({ ...GOOD, volume: 0, vwap: 100 });
  });

  test('judges nothing as ahead of time where the clock is withheld', () => {
    const openTime = Date.UTC(9999, 0, 1);
    expect(parseBar({ ...GOOD, openTime }, Number.POSITIVE_INFINITY)).toEqual({ ...GOOD, openTime });
  });

  test('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.record(mapFields(() => fc.anything())), (raw) => {
        expect(isRefusal(parseBar(raw, CLOCK))).toBe(true);
      }),
    );
  });
});

describe('encodeBar and decodeBar', () => {
  const price = fc.double({ min: Number.MIN_VALUE, max: 1e9, noNaN: true });
  const count = fc.integer({ min: 0, max: 1e12 });
  const bar = fc
    .record({
      symbol: fc.stringMatching(/^[A-Z][A-Z0-9.]{0,14}$/),
      openTime: fc
        .integer({ min: Date.UTC(1900, 0, 1) / MINUTE_MS, max: CLOCK / MINUTE_MS + 1_440 })
        .map((minute) => minute * MINUTE_MS),
      prices: fc.tuple(price, price, price, price),
      volume: count,
      tradeCount: fc.option(count),
      vwap: fc.option(price),
      rev: fc.constantFrom(0, 1, 2, 3, 4),
    })
    .map(({ prices, ...rest }): Bar => {
      const [low, open, close, high] = prices.sort((a, b) => a - b) as [number, number, number, number];
      return { ...rest, open, high, low, close } as Bar;
    });

  test('a bar reads back as the same doubles', () => {
    fc.assert(
      fc.property(bar, (given) => {
        expect(decodeBar(JSON.parse(encodeBar(given)), CLOCK)).toEqual(given);
      }),
    );
  });

  test('odd doubles print as the shortest text that reads back as the same', () => {
    const odd = { ...GOOD, low: 5e-324, open: 0.1 + 0.2, close: 2 ** 0.5, high: 999_999_999.9999999, vwap: 1e-7 };
    expect(encodeBar(odd)).toContain('"open":0.30000000000000004,"high":999999999.9999999,"low":5e-324');
    expect(decodeBar(JSON.parse(encodeBar(odd)), CLOCK)).toEqual(odd);
  });

  test('the text has these keys in this order, and is a BarMessage', () => {
    const text = encodeBar({ ...GOOD, vwap: null, tradeCount: null });
    expect(text).toBe(
      '{"symbol":"AAPL","timestamp":"2025-11-03T14:30:00Z","open":100,"high":101.5,"low":99.25,"close":101,"volume":1200,"vwap":null,"trade_count":null,"rev":0}',
    );
    expect(Object.keys(BarMessage.shape)).toEqual(Object.keys(JSON.parse(text)));
    expect(BarMessage.parse(JSON.parse(text))).toEqual(JSON.parse(text));
  });

  test('what is no bar is refused, and checked as strictly as a delivery', () => {
    const wire = JSON.parse(encodeBar(GOOD)) as Record<string, unknown>;
    const { timestamp, ...timeless } = wire;
    expect(timestamp).toBe('2025-11-03T14:30:00Z');
    expect(decodeBar(null, CLOCK)).toBe('missing_field');
    expect(decodeBar('bar', CLOCK)).toBe('missing_field');
    expect(decodeBar([], CLOCK)).toBe('bad_symbol');
    expect(decodeBar(timeless, CLOCK)).toBe('missing_field');
    expect(decodeBar({ ...wire, timestamp: OPEN_TIME }, CLOCK)).toBe('bad_timestamp');
    expect(decodeBar({ ...wire, timestamp: '2025-11-03T14:30:00' }, CLOCK)).toBe('bad_timestamp');
    expect(decodeBar({ ...wire, timestamp: '2025-11-03T14:30:01Z' }, CLOCK)).toBe('off_the_minute');
    expect(decodeBar({ ...wire, low: 200 }, CLOCK)).toBe('high_below_low');
    expect(decodeBar(wire, OPEN_TIME - DAY_MS - MINUTE_MS)).toBe('ahead_of_time');
  });
});

function mapFields<T>(make: () => T): Record<keyof Bar, T> {
  return Object.fromEntries(Object.keys(GOOD).map((field) => [field, make()])) as Record<keyof Bar, T>;
}
