import { ConfigError, parseConfig } from '@candlewire/runtime';
import { busConfig } from './config';

const parse = (env: Record<string, string>) => parseConfig(busConfig, env);

test('without anything set there is no address, and the prefix is that of version 1', () => {
  expect(parse({})).toEqual({ REDIS_PREFIX: 'md:v1' });
});

test.each(['redis://127.0.0.1:6379', 'rediss://user:secret@redis.example:6380/2'])('%s is an address', (address) => {
  expect(parse({ REDIS_URL: address }).REDIS_URL).toBe(address);
});

test.each(['http://127.0.0.1', '127.0.0.1:6379', 'redis'])('%s is none, and is not repeated', (address) => {
  const attempt = () => parse({ REDIS_URL: address });
  expect(attempt).toThrow(ConfigError);
  expect(attempt).toThrow(/REDIS_URL: must be an address like redis:\/\/host:port or rediss:\/\/host:port$/);
});

test.each(['md', 'md:v1', 'test:a_b-c.d'])('%s is a prefix', (prefix) => {
  expect(parse({ REDIS_PREFIX: prefix }).REDIS_PREFIX).toBe(prefix);
});

test.each(['md:', ':md', 'a::b', 'a b', 'a*', '{md}', 'x'.repeat(65)])('%s is no prefix', (prefix) => {
  expect(() => parse({ REDIS_PREFIX: prefix })).toThrow('REDIS_PREFIX: must');
});
