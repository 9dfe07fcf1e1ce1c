import { type Candle, CHANGES_PUBLISHED_MAX, channelsOf, SeriesMessage } from '@candlewire/contracts';
import { messagesOf } from './messages';

const candle = (seq: number): Candle => ({
  openTime: seq * 60_000,
  open: 1,
  high: 1,
  low: 1,
  close: 1,
  volume: 1,
  vwap: null,
  tradeCount: null,
  status: 'regular',
  rsi: null,
  avgGain: 0,
  avgLoss: 0,
  avgRange: 0,
  ma40: null,
  ma80: null,
  ma160: null,
  final: false,
  rev: 0,
  revision: 1,
  seq,
});

const changes = (count: number, touched: Candle[] = []) => [
  {
    symbol: 'AAPL',
    series: [
      {
        interval: '5m' as const,
        seqBefore: 0,
        seq: count,
        changed: Array.from({ length: count }, (_, i) => candle(i + 1)),
        touched,
      },
    ],
  },
];

const parse = (count: number, touched?: Candle[]) =>
  messagesOf(changes(count, touched), channelsOf('p'), 'e').map(({ channel, text }) => ({
    channel,
    message: SeriesMessage.parse(JSON.parse(text)),
  }));

test('each change is a message on the channel of its series, by ascending seq', () => {
  const messages = parse(CHANGES_PUBLISHED_MAX);
  expect(messages.length).toBe(CHANGES_PUBLISHED_MAX);
  expect(messages.every(({ channel, message }) => channel === 'p:candles:5m:AAPL' && message.type === 'candle')).toBe(
    true,
  );
  expect(messages.map(({ message }) => message.seq)).toEqual(
    Array.from({ length: CHANGES_PUBLISHED_MAX }, (_, i) => i + 1),
  );
});

test('more changes than may be told one by one are told as one', () => {
  const count = CHANGES_PUBLISHED_MAX + 1;
  expect(parse(count)).toEqual([
    {
      channel: 'p:candles:5m:AAPL',
      message: { type: 'changed', symbol: 'AAPL', interval: '5m', epoch: 'e', seq: count },
    },
  ]);
});

test('what was only touched is not told', () => {
  expect(parse(0, [candle(1)])).toEqual([]);
});
