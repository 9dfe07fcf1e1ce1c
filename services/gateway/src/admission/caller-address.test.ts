import type { IncomingMessage } from 'node:http';
import { createAddressOf, trustOf } from './caller-address';

function addressOf(proxies: readonly string[], remoteAddress: string | undefined, forwarded?: string): string {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  return createAddressOf(trustOf(proxies))({ socket: { remoteAddress }, headers } as unknown as IncomingMessage);
}

test('is that of the connection, whatever anybody else says', () => {
  expect(addressOf([], '192.0.2.1')).toBe('192.0.2.1');
  expect(addressOf([], '192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
  expect(addressOf(['192.0.2.2'], '192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
});

test('is what a trusted proxy says, up to the first that is not trusted', () => {
  expect(addressOf(['192.0.2.1'], '192.0.2.1', '198.51.100.7')).toBe('198.51.100.7');
  expect(addressOf(['192.0.2.1'], '192.0.2.1', '203.0.113.9, 198.51.100.7')).toBe('198.51.100.7');
  expect(addressOf(['192.0.2.0/24'], '192.0.2.1', '203.0.113.9, 192.0.2.200')).toBe('203.0.113.9');
  expect(addressOf(['loopback', 'uniquelocal'], '::ffff:127.0.0.1', '203.0.113.9, 10.1.2.3')).toBe('203.0.113.9');
  expect(addressOf(['192.0.2.1'], '192.0.2.1')).toBe('192.0.2.1');
});

test('has no port, and is never what is no address', () => {
  expect(addressOf(['192.0.2.1'], '192.0.2.1', '198.51.100.7:40312')).toBe('198.51.100.7');
  expect(addressOf(['192.0.2.1'], '192.0.2.1', '[2001:db8::7]:40312')).toBe('2001:db8::/64');
  for (const garbage of ['unknown', '', 'x'.repeat(10_000), '1.2.3.4.5:1', '198.51.100.7:no'])
    expect(addressOf(['192.0.2.1'], '192.0.2.1', garbage)).toBe('192.0.2.1');
  expect(addressOf([], undefined)).toBe('');
});

test('is one for a whole IPv6 network, and IPv4 wherever it is that', () => {
  expect(addressOf([], '2001:db8:0:1::7')).toBe(addressOf([], '2001:db8:0:1:ffff::8'));
  expect(addressOf([], '2001:db8:0:1::7')).not.toBe(addressOf([], '2001:db8:0:2::7'));
  expect(addressOf([], '::ffff:192.0.2.1')).toBe('192.0.2.1');
});

test.each(['everybody', '10.0.0.0/33', '10.0.0.1/', '', 'private', '1', '0.0.0.0/0'])(
  'nobody can trust %j',
  (proxy) => {
    expect(() => trustOf([proxy])).toThrow(TypeError);
  },
);
