import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkIngestorConfig, parseIngestorConfig } from './config';

const folder = mkdtempSync(join(tmpdir(), 'config-'));
const file = join(folder, 'bars.csv');
writeFileSync(file, '');
afterAll(() => rmSync(folder, { recursive: true }));

const servers = { DATABASE_URL: 'postgres://localhost/x', REDIS_URL: 'redis://localhost' };
const replay = { ...servers, SOURCE: 'replay', REPLAY_FILE: file };

test('a replay needs its file and the servers, everything else has a default', () => {
  expect(checkIngestorConfig(replay)).toEqual([]);
  expect(parseIngestorConfig(replay)).toEqual({
    ...replay,
    REPLAY_SPEED: 1,
    HISTORY_DAYS: 5,
    HISTORY_MAX_PER_MIN: 200,
    ALPACA_MAX_SYMBOLS: 30,
    ALPACA_TRADES: 'on',
    DEMAND_LINGER_MS: 60_000,
    INGESTOR_LEASE_MS: 9_000,
    SIM_SEED: 1,
    SIM_CALENDAR: '24x7',
    FINAL_GRACE_MS: 35_000,
    LOG_LEVEL: 'info',
    REDIS_PREFIX: 'md:v1',
    METRICS_HOST: '127.0.0.1',
  });
});

test.each([
  ['1', 1],
  ['0.25', 0.25],
  ['.5', 0.5],
  ['600', 600],
  ['max', Number.POSITIVE_INFINITY],
])('REPLAY_SPEED %s is a factor', (value, factor) => {
  expect(parseIngestorConfig({ ...replay, REPLAY_SPEED: value }).REPLAY_SPEED).toBe(factor);
});

test.each(['0', '-1', 'fast', '1x', 'Infinity', '1e3', '.'])('REPLAY_SPEED %s is refused', (value) => {
  expect(checkIngestorConfig({ ...replay, REPLAY_SPEED: value })).toEqual([
    'REPLAY_SPEED: must be a positive number or max',
  ]);
});

test('symbols are raised to upper case and blanks around them go', () => {
  expect(parseIngestorConfig({ ...replay, SYMBOLS: 'aapl, BRK.B' }).SYMBOLS).toEqual(['AAPL', 'BRK.B']);
});

test('a simulator needs the servers alone, and is what there is where no source is named', () => {
  expect(parseIngestorConfig(servers)).toMatchObject({ SOURCE: 'simulator', SIM_SEED: 1, SIM_CALENDAR: '24x7' });
  expect(parseIngestorConfig({ ...servers, SOURCE: '', SIM_SEED: '7', SIM_CALENDAR: 'nyse' })).toMatchObject({
    SOURCE: 'simulator',
    SIM_SEED: 7,
    SIM_CALENDAR: 'nyse',
  });
});

test('whoever brings a bus needs no REDIS_URL, but a DATABASE_URL', () => {
  const { DATABASE_URL } = servers;
  expect(parseIngestorConfig({ DATABASE_URL }, true)).toMatchObject({ DATABASE_URL });
  expect(() => parseIngestorConfig({}, true)).toThrow('DATABASE_URL: must be set');
  expect(() => parseIngestorConfig({ DATABASE_URL })).toThrow('REDIS_URL: must be set');
});

test.each([
  ['SIM_SEED', '-1', 'must be a whole number from 0 to 4294967295'],
  ['SIM_CALENDAR', 'lse', 'must be one of 24x7, nyse'],
  ['HISTORY_DAYS', '3651', 'must be a whole number from 0 to 3650'],
])('%s %s is refused', (name, value, problem) => {
  expect(checkIngestorConfig({ ...servers, [name]: value })).toEqual([`${name}: ${problem}`]);
});

test('alpaca needs a key and its secret, under either name', () => {
  const alpaca = { ...servers, SOURCE: 'alpaca' };
  expect(checkIngestorConfig(alpaca)).toEqual([
    'ALPACA_API_KEY: must be set for SOURCE=alpaca',
    'ALPACA_SECRET: must be set for SOURCE=alpaca',
  ]);
  expect(checkIngestorConfig({ ...alpaca, ALPACA_API_KEY: 'K', APCA_API_SECRET_KEY: 'S' })).toEqual([]);
  expect(checkIngestorConfig({ ...alpaca, APCA_API_KEY_ID: 'K', ALPACA_SECRET: '' })).toEqual([
    'ALPACA_SECRET: must be set for SOURCE=alpaca',
  ]);
});

test('a feed that contradicts the address of the stream is told with all the rest', () => {
  const alpaca = { ...servers, SOURCE: 'alpaca', ALPACA_API_KEY: 'K', ALPACA_FEED: 'iex', LOG_LEVEL: 'loud' };
  const known = ['LOG_LEVEL: must be one of error, warn, info, debug', 'ALPACA_SECRET: must be set for SOURCE=alpaca'];
  expect(checkIngestorConfig({ ...alpaca, ALPACA_STREAM_URL: 'ws://proxy/v2/sip' })).toEqual([
    ...known,
    'ALPACA_FEED: must be left out, or the feed that ALPACA_STREAM_URL names',
  ]);
  expect(checkIngestorConfig({ ...alpaca, APCA_API_STREAM_URL: 'https://proxy/v2/test' })).toEqual([
    ...known,
    'ALPACA_FEED: must be left out, or the feed that APCA_API_STREAM_URL names',
  ]);
  for (const address of ['ws://proxy/v2/iex', 'ws://proxy', 'ws://proxy/v2/overnight'])
    expect(checkIngestorConfig({ ...alpaca, ALPACA_STREAM_URL: address })).toEqual(known);
  // The address that counts is the first.
  const both = { ALPACA_STREAM_URL: 'ws://proxy', APCA_API_STREAM_URL: 'ws://proxy/v2/sip' };
  expect(checkIngestorConfig({ ...alpaca, ...both })).toEqual(known);
  // Nobody asks Alpaca.
  const elsewhere = { ...servers, ALPACA_FEED: 'iex', ALPACA_STREAM_URL: 'ws://proxy/v2/sip' };
  expect(checkIngestorConfig(elsewhere)).toEqual([]);
});

test('what is wrong with alpaca is told by name, and never what was given', () => {
  const env = {
    ...servers,
    SOURCE: 'alpaca',
    ALPACA_API_KEY: 'top secret',
    ALPACA_SECRET: 'geheim\tgeheim',
    ALPACA_FEED: 'otc',
    ALPACA_STREAM_URL: 'https://geheim',
    APCA_API_STREAM_URL: 'ftp://geheim',
    ALPACA_DATA_URL: 'geheim',
    APCA_DATA_BASE_URL: 'ws://geheim',
    ALPACA_ENDPOINT: 'wss://geheim',
    ALPACA_MAX_SYMBOLS: '0',
    ALPACA_TRADES: 'yes',
    DEMAND_LINGER_MS: '-1',
  };
  const problems = checkIngestorConfig(env);
  expect(problems.map((problem) => problem.split(':')[0]).sort()).toEqual([
    'ALPACA_API_KEY',
    'ALPACA_DATA_URL',
    'ALPACA_ENDPOINT',
    'ALPACA_FEED',
    'ALPACA_MAX_SYMBOLS',
    'ALPACA_SECRET',
    'ALPACA_STREAM_URL',
    'ALPACA_TRADES',
    'APCA_API_STREAM_URL',
    'APCA_DATA_BASE_URL',
    'DEMAND_LINGER_MS',
  ]);
  expect(problems.join()).not.toMatch(/secret |geheim/);
});

test.each([
  ['missing', undefined, 'REPLAY_FILE: must be set for SOURCE=replay'],
  ['not there', join(folder, 'none'), 'REPLAY_FILE: cannot be read (ENOENT)'],
  ['a folder', folder, 'REPLAY_FILE: is not a file'],
])('a REPLAY_FILE that is %s is refused', (_, REPLAY_FILE, problem) => {
  expect(checkIngestorConfig({ ...servers, SOURCE: 'replay', REPLAY_FILE })).toEqual([problem]);
});

test('all problems are told together, each once, without the values', () => {
  const env = {
    SOURCE: 'replay',
    REPLAY_SPEED: 'secret1',
    SYMBOLS: 'AAPL,secret-2',
    FINAL_GRACE_MS: '-1',
    LOG_LEVEL: 'secret3',
    DATABASE_URL: 'http://secret4',
    CALENDAR_FILE: join(folder, 'none'),
  };
  expect(() => parseIngestorConfig(env)).toThrow(
    expect.objectContaining({
      problems: [
        'LOG_LEVEL: must be one of error, warn, info, debug',
        'REDIS_URL: must be set',
        expect.stringMatching(/^DATABASE_URL: must be an address/),
        'SYMBOLS: must be symbols with commas between them, each a letter followed by at most 14 letters, digits or dots',
        'REPLAY_SPEED: must be a positive number or max',
        'FINAL_GRACE_MS: must be a whole number from 0 to 3600000',
        'REPLAY_FILE: must be set for SOURCE=replay',
        expect.stringMatching(/^CALENDAR_FILE: ENOENT/),
      ],
    }),
  );
});

test('an unknown source is told as such', () => {
  expect(checkIngestorConfig({ SOURCE: 'kraken' })).toEqual(['SOURCE: must be one of simulator, alpaca, replay']);
});
