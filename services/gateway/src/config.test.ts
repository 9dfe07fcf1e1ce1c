import { ConfigError, type Env, parseConfig } from '@candlewire/runtime';
import { checkTogether, corsOriginsOf, httpConfig } from './config';

const problemsOf = (act: () => unknown): readonly string[] => {
  try {
    act();
    return [];
  } catch (err) {
    if (err instanceof ConfigError) return err.problems;
    throw err;
  }
};
const problems = (env: Env) => problemsOf(() => parseConfig(httpConfig, env));
const parsed = (env: Env) => parseConfig(httpConfig, env);

test('nobody is asked for a key, believed or refused where nothing is set', () => {
  expect(parsed({})).toEqual({
    PORT: 8_000,
    HOST: '127.0.0.1',
    API_KEYS: [],
    TRUST_PROXY: [],
    HTTP_MAX_PER_S: 500,
  });
});

test('keys are separated by commas, with blanks around them', () => {
  expect(parsed({ API_KEYS: ' first-key, second_KEY=~!' }).API_KEYS).toEqual(['first-key', 'second_KEY=~!']);
});

test.each([
  'short',
  'long-enough,',
  ',',
  ',,',
  'long-enough,,other-enough',
  'with blank in',
  'schlüssel-lang',
  'x'.repeat(257),
])('a list of keys with one that is none is told by name, and not repeated: %s', (API_KEYS) => {
  const told = problems({ API_KEYS });
  expect(told).toEqual(['API_KEYS: must be keys of 8 to 256 visible ASCII characters, separated by commas']);
});

test('pages of all origins may call where there are no keys, of none where there are, of those that are listed in either case', () => {
  const originsOf = (env: Env) => corsOriginsOf(parsed(env));
  const API_KEYS = 'long-enough';
  expect([originsOf({}), originsOf({ API_KEYS })]).toEqual(['*', []]);
  expect(originsOf({ API_KEYS, CORS_ORIGINS: '*' })).toBe('*');
  for (const env of [{}, { API_KEYS }])
    expect(originsOf({ ...env, CORS_ORIGINS: 'https://a.example' })).toEqual(['https://a.example']);
});

test('proxies are addresses, ranges and their names', () => {
  const TRUST_PROXY = 'loopback, 10.0.0.0/8, 2001:db8::1';
  expect(parsed({ TRUST_PROXY }).TRUST_PROXY).toEqual(['loopback', '10.0.0.0/8', '2001:db8::1']);
  for (const wrong of ['everybody', '10.0.0.0/33', 'loopback,', 'true', '1'])
    expect(problems({ TRUST_PROXY: wrong })).toEqual([expect.stringMatching(/^TRUST_PROXY: must be addresses/)]);
});

test('a soft limit over the hard one is told by name, as set and against the default', () => {
  const both = (WS_QUEUE_SOFT_BYTES: string, WS_QUEUE_HARD_BYTES?: string) =>
    problemsOf(() => checkTogether({ WS_QUEUE_SOFT_BYTES, WS_QUEUE_HARD_BYTES }));
  expect([both('2048', '2048'), both('1024', '2048')]).toEqual([[], []]);
  expect(both('2049', '2048')).toEqual(['WS_QUEUE_SOFT_BYTES: 2049 must not be more than WS_QUEUE_HARD_BYTES (2048)']);
  expect(both('2000000')).toEqual([expect.stringContaining('WS_QUEUE_SOFT_BYTES: ')]);
  expect(problemsOf(() => checkTogether({ WS_QUEUE_HARD_BYTES: '2048' }))).toHaveLength(1);
});
