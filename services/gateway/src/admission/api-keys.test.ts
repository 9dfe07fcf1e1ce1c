import { createApiKeys, keyInHeaders } from './api-keys';

describe('keys', () => {
  const keys = createApiKeys(['first-key', 'second-key']);

  test('are known letter by letter, each by its place', () => {
    expect(keys.required).toBe(true);
    expect(keys.nameOf('first-key')).toBe('key 1');
    expect(keys.nameOf('second-key')).toBe('key 2');
    for (const other of [
      '',
      'first-ke',
      'first-keys',
      'FIRST-KEY',
      ' first-key',
      'first-key,second-key',
      'key 1',
      null,
    ])
      expect([other, keys.nameOf(other)]).toEqual([other, null]);
  });

  test('are asked of nobody where there are none', () => {
    const open = createApiKeys([]);
    expect([open.required, open.nameOf('first-key'), open.nameOf('')]).toEqual([false, null, null]);
  });
});

test.each([
  [{}, null],
  [{ authorization: 'Bearer abc' }, 'abc'],
  [{ authorization: 'bearer  abc ' }, 'abc'],
  [{ authorization: 'Bearer' }, ''],
  [{ authorization: 'Bearerabc' }, null],
  [{ authorization: 'Basic abc' }, null],
  [{ 'x-api-key': 'abc' }, 'abc'],
  [{ 'x-api-key': '' }, ''],
  [{ authorization: 'Bearer abc', 'x-api-key': 'def' }, 'def'],
])('the headers %j show %j', (headers, key) => {
  expect(keyInHeaders(headers)).toBe(key);
});
