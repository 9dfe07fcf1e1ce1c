import fc from 'fast-check';
import {
  atrOf,
  type Candle,
  CHANGES_PUBLISHED_MAX,
  encodeCandle,
  encodeCandleMessage,
  encodeChangedMessage,
  MARKET_STATUSES,
  vwapOf,
} from './candle';
import { CandleSchema } from './http';
import { CandleMessage, ChangedMessage, SeriesMessage } from './messages';
import { toIso } from './time';

const CANDLE: Candle = {
  openTime: Date.UTC(2025, 10, 3, 14, 30),
  open: 100,
  high: 101.5,
  low: 99.25,
  close: 101,
  volume: 1_200,
  vwap: 100.375,
  tradeCount: 17,
  status: 'regular',
  rsi: 55.5,
  avgGain: 0.25,
  avgLoss: 0.125,
  avgRange: 0.75,
  ma40: 100.5,
  ma80: 100.25,
  ma160: 99.5,
  final: true,
  rev: 1,
  revision: 3,
  seq: 42,
};

/** As the contract spells and orders them; a gateway reads seq and timestamp from the raw bytes. */
const KEYS = [
  'timestamp',
  'open',
  'high',
  'low',
  'close',
  'volume',
  'vwap',
  'trade_count',
  'market_status',
  'ATR',
  'RSI',
  'MA40',
  'MA80',
  'MA160',
  'final',
  'revision',
  'seq',
];

const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const nullable = fc.option(number);
const anyCandle: fc.Arbitrary<Candle> = fc.record({
  openTime: fc.integer({ min: 0, max: Date.UTC(2100, 0, 1) / 60_000 }).map((minute) => minute * 60_000),
  open: number,
  high: number,
  low: number,
  close: number,
  volume: fc.maxSafeNat(),
  vwap: nullable,
  tradeCount: fc.option(fc.maxSafeNat()),
  status: fc.constantFrom(...MARKET_STATUSES),
  rsi: nullable,
  avgGain: number,
  avgLoss: number,
  avgRange: number,
  ma40: nullable,
  ma80: nullable,
  ma160: nullable,
  final: fc.boolean(),
  rev: fc.nat({ max: 4 }),
  revision: fc.nat(),
  seq: fc.maxSafeNat(),
});

describe('encodeCandle', () => {
  test('shows every field under its name on the wire', () => {
    expect(JSON.parse(encodeCandle(CANDLE))).toEqual({
      timestamp: '2025-11-03T14:30:00Z',
      open: 100,
      high: 101.5,
      low: 99.25,
      close: 101,
      volume: 1_200,
      vwap: 100.375,
      trade_count: 17,
      market_status: 'regular',
      ATR: 0.75,
      RSI: 55.5,
      MA40: 100.5,
      MA80: 100.25,
      MA160: 99.5,
      final: true,
      revision: 3,
      seq: 42,
    });
  });

  test('orders the keys as the schema does', () => {
    expect(Object.keys(JSON.parse(encodeCandle(CANDLE)))).toEqual(KEYS);
    expect(Object.keys(CandleSchema.shape)).toEqual(KEYS);
  });

  test('gives JSON that the schema accepts, and the same doubles', () => {
    fc.assert(
      fc.property(anyCandle, (candle) => {
        const { open, high, low, close, volume, status, ...rest } = candle;
        expect(CandleSchema.parse(JSON.parse(encodeCandle(candle)))).toEqual({
          timestamp: toIso(candle.openTime),
          open,
          high,
          low,
          close,
          volume,
          vwap: vwapOf(candle),
          trade_count: rest.tradeCount,
          market_status: status,
          ATR: atrOf(candle),
          RSI: rest.rsi,
          MA40: rest.ma40,
          MA80: rest.ma80,
          MA160: rest.ma160,
          final: rest.final,
          revision: rest.revision,
          seq: rest.seq,
        });
      }),
    );
  });

  test('has no vwap where there is no volume', () => {
    expect(JSON.parse(encodeCandle({ ...CANDLE, volume: 0 }))).toMatchObject({ volume: 0, vwap: null });
    expect(JSON.parse(encodeCandle({ ...CANDLE, volume: 1 }))).toMatchObject({ volume: 1, vwap: 100.375 });
  });

  test('has no ATR while there is no RSI: the average range is a running sum until then', () => {
    expect(JSON.parse(encodeCandle({ ...CANDLE, rsi: null }))).toMatchObject({ ATR: null, RSI: null });
    expect(JSON.parse(encodeCandle({ ...CANDLE, rsi: 0 }))).toMatchObject({ ATR: 0.75, RSI: 0 });
  });
});

describe('messages of a series', () => {
  test('a candle message carries the number of its candle, keys in the order that a relay relies on', () => {
    const text = encodeCandleMessage('BRK.B', '5m', 'e1', CANDLE);
    expect(text).toBe(
      `{"type":"candle","symbol":"BRK.B","interval":"5m","epoch":"e1","seq":42,"candle":${encodeCandle(CANDLE)}}`,
    );
    expect(Object.keys(CandleMessage.shape)).toEqual(Object.keys(JSON.parse(text)));
    expect(SeriesMessage.parse(JSON.parse(text))).toEqual(JSON.parse(text));
  });

  test('a changed message says up to which number to read', () => {
    const text = encodeChangedMessage('AAPL', '1m', 'e1', 5_000);
    expect(text).toBe('{"type":"changed","symbol":"AAPL","interval":"1m","epoch":"e1","seq":5000}');
    expect(Object.keys(ChangedMessage.shape)).toEqual(Object.keys(JSON.parse(text)));
    expect(SeriesMessage.parse(JSON.parse(text))).toEqual(JSON.parse(text));
  });

  test('a thousand changes are told one by one', () => {
    expect(CHANGES_PUBLISHED_MAX).toBe(1_000);
  });
});
