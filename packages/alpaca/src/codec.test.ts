import { decode, Encoder, ExtData } from '@msgpack/msgpack';
import { barMessage } from './bar';
import { decodeFrame, encodeFrame, encodeRequest, encodingOf, jsonCodec, msgpackCodec, readFrame } from './codec';
import { type BarMessage, CONNECTED, type StreamMessage, type TradeMessage } from './messages';

const BAR: BarMessage = {
  T: 'b',
  S: 'AAPL',
  o: 100,
  h: 101.25,
  l: 99.5,
  c: 100,
  v: 12_345_678_901,
  t: '2025-11-03T14:30:00Z',
  n: 7,
  vw: 100.1234,
};
const TRADE: TradeMessage = {
  T: 't',
  S: 'AAPL',
  i: 9_007_199_254_740_991,
  x: 'V',
  p: 100.01,
  s: 1,
  c: ['@', 'I'],
  t: '2025-11-03T14:30:00.123456789Z',
  z: 'C',
};

describe.each(['json', 'msgpack'] as const)('%s', (encoding) => {
  test.each([[BAR], [TRADE], [CONNECTED]])('gives back what went in: $T', (message) => {
    expect(readFrame(encodeFrame(encoding, [message]))).toEqual({ messages: [message], unreadable: 0 });
  });

  test('frames of 1 to 70,000 messages are arrays of them', () => {
    const codec = encoding === 'json' ? jsonCodec : msgpackCodec;
    for (const length of [1, 15, 16, 65_535, 65_536, 70_000]) {
      const fragment = codec.fragment(CONNECTED);
      const frame = codec.frame(new Array(length).fill(fragment) as never);
      expect(readFrame(frame).messages).toHaveLength(length);
    }
  });

  test('T is the first key, whatever the order before', () => {
    const { T, ...rest } = BAR;
    const [message] = readFrame(encodeFrame(encoding, [{ ...rest, T } as StreamMessage])).messages;
    expect(Object.keys(message!)[0]).toBe('T');
    expect(message).toEqual(BAR);
  });

  test('requests are read', () => {
    const request = { action: 'subscribe', bars: ['AAPL'] };
    expect(decodeFrame(encodeRequest(encoding, request))).toEqual(request);
  });
});

test('msgpack times are its timestamps, to the nanosecond', () => {
  const bytes = msgpackCodec.fragment(TRADE);
  const raw = decode(bytes, {
    extensionCodec: { tryToEncode: () => null, decode: (data, type) => new ExtData(type, data) },
  });
  const { t } = raw as { t: ExtData };
  expect(t.type).toBe(-1);
  expect(decodeFrame(msgpackCodec.frame([bytes]))).toEqual([TRADE]);
});

test.each([
  ['2025-11-03T14:30:00.5Z', '2025-11-03T14:30:00.500Z'],
  ['2025-11-03T09:30:00.000000001-05:00', '2025-11-03T14:30:00.000000001Z'],
  ['1950-01-02T03:04:05.678901234Z', '1950-01-02T03:04:05.678901234Z'],
  ['2200-01-02T03:04:05Z', '2200-01-02T03:04:05Z'],
])('the moment %s passes through msgpack as %s', (given, expected) => {
  expect(readFrame(encodeFrame('msgpack', [{ ...BAR, t: given }])).messages).toEqual([{ ...BAR, t: expected }]);
});

test('whole numbers stay whole on the wire', () => {
  const bytes = msgpackCodec.fragment({ ...BAR, v: 300 });
  const at = Buffer.from(bytes).indexOf('\xa1v', 0, 'latin1');
  expect(bytes[at + 2]).toBe(0xcd);
  expect(jsonCodec.fragment({ ...BAR, v: 300 })).toContain('"v":300,');
});

test('a missing count or average is left out', () => {
  const bar = { symbol: 'A', openTime: 0, open: 1, high: 1, low: 1, close: 1, volume: 1, rev: 0 } as const;
  expect(Object.keys(barMessage('b', { ...bar, tradeCount: null, vwap: null }))).toEqual([
    'T',
    'S',
    'o',
    'h',
    'l',
    'c',
    'v',
    't',
  ]);
});

describe('what cannot be read', () => {
  test.each([
    ['bytes that are no msgpack', Uint8Array.of(0xc1, 0xff)],
    ['half a frame', encodeFrame('msgpack', [BAR]).slice(0, -3)],
    ['nothing', new Uint8Array()],
    ['half a text', '[{"T":"b"'],
    ['a single message', jsonCodec.fragment(BAR)],
    ['a null', '[null]'],
    ['a message without type', new Encoder().encode([{ S: 'AAPL' }])],
  ])('%s is counted, not thrown', (_, data) => {
    expect(readFrame(data)).toEqual({ messages: [], unreadable: 1 });
  });

  test('does not take its neighbours with it', () => {
    expect(readFrame(`[null,${jsonCodec.fragment(BAR)},7]`)).toEqual({ messages: [BAR], unreadable: 2 });
  });
});

test('JSON is read from binary frames too', () => {
  expect(decodeFrame(new TextEncoder().encode(' {"action":"auth"}'))).toEqual({ action: 'auth' });
});

test.each([
  ['application/msgpack', 'msgpack'],
  ['application/json', 'json'],
  ['application/msgpackish', 'json'],
  [undefined, 'json'],
])('the content type %s means %s', (contentType, encoding) => {
  expect(encodingOf(contentType)).toBe(encoding);
});
