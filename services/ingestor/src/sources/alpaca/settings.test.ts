import { parseConfig } from '@candlewire/runtime';
import { alpacaConfig, alpacaSettings } from './settings';

const KEYS = { ALPACA_API_KEY: 'K', ALPACA_SECRET: 'S' };
const settings = (env: Readonly<Record<string, string>> = {}) =>
  alpacaSettings(parseConfig(alpacaConfig, { ...KEYS, ...env }));

test('a key alone leads to the free feed at Alpaca', () => {
  expect(settings()).toEqual({
    keyId: 'K',
    secret: 'S',
    feed: 'iex',
    streamUrl: 'wss://stream.data.alpaca.markets/v2/iex',
    dataUrl: 'https://data.alpaca.markets',
    symbolsMax: 30,
    trades: true,
  });
});

test('of several names the first counts', () => {
  const both = { APCA_API_KEY_ID: 'other', APCA_API_SECRET_KEY: 'other', APCA_API_DATA_URL: 'http://other' };
  expect(settings({ ...both, ALPACA_DATA_URL: 'http://one' })).toMatchObject({
    keyId: 'K',
    secret: 'S',
    dataUrl: 'http://one',
  });
  expect(settings({ ...both, ALPACA_API_KEY: '' })).toMatchObject({ keyId: 'other', dataUrl: 'http://other' });
});

test.each([
  ['ws://127.0.0.1:9', 'iex', 'ws://127.0.0.1:9/v2/iex'],
  ['wss://proxy/', 'sip', 'wss://proxy/v2/sip'],
  ['ws://proxy/some/path?a=b', 'sip', 'ws://proxy/some/path?a=b'],
])('ALPACA_STREAM_URL %s with the feed %s is %s', (given, feed, streamUrl) => {
  expect(settings({ ALPACA_STREAM_URL: given, ALPACA_FEED: feed }).streamUrl).toBe(streamUrl);
});

test.each([
  ['https://proxy', 'wss://proxy/v2/iex'],
  ['http://proxy:8080/', 'ws://proxy:8080/v2/iex'],
  ['wss://proxy', 'wss://proxy/v2/iex'],
])("APCA_API_STREAM_URL %s, as the older SDKs have it, is the stream's %s", (given, streamUrl) => {
  expect(settings({ APCA_API_STREAM_URL: given }).streamUrl).toBe(streamUrl);
  const both = { APCA_API_STREAM_URL: given, ALPACA_STREAM_URL: 'ws://own' };
  expect(settings(both).streamUrl).toBe('ws://own/v2/iex');
});

test.each([
  ['ws://proxy/v2/delayed_sip', 'delayed_sip'],
  ['wss://stream.data.alpaca.markets/v2/test', 'test'],
  ['ws://proxy/v2/sip/', 'sip'],
  ['ws://proxy/alpaca/v2/sip', 'sip'],
  ['ws://proxy/v2/overnight', 'iex'],
  ['ws://proxy/v2/sip/more', 'iex'],
  ['ws://proxy', 'iex'],
])('where no feed is named, %s is of %s', (address, feed) => {
  for (const name of ['ALPACA_STREAM_URL', 'APCA_API_STREAM_URL']) {
    expect(settings({ [name]: address }).feed).toBe(feed);
    expect(settings({ [name]: address, ALPACA_FEED: '' }).feed).toBe(feed);
  }
});

test('the address that is not used names no feed', () => {
  const env = { ALPACA_STREAM_URL: 'ws://one', APCA_API_STREAM_URL: 'ws://other/v2/sip' };
  expect(settings(env)).toMatchObject({ feed: 'iex', streamUrl: 'ws://one/v2/iex' });
});

test('addresses of history are cut down to their origin, one of the trading host may have a path', () => {
  const env = { ALPACA_DATA_URL: 'https://proxy:8443/v2/', ALPACA_ENDPOINT: 'https://paper-api.alpaca.markets/v2' };
  expect(settings(env).dataUrl).toBe('https://proxy:8443');
  const older = { APCA_DATA_BASE_URL: 'https://older/v2' };
  expect(settings(older).dataUrl).toBe('https://older');
  expect(settings({ ...older, APCA_API_DATA_URL: 'https://newer' }).dataUrl).toBe('https://newer');
});
