import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { ipKeyGenerator } from 'express-rate-limit';
import proxyAddr from 'proxy-addr';

/** Who has one IPv6 address has the whole network of that length. */
const IPV6_NETWORK_BITS = 64;
const RANGE_NAMES: readonly string[] = ['loopback', 'linklocal', 'uniquelocal'];
/** Some proxies add the caller's port. */
const WITH_PORT = /^\[?([^[\]]+?)\]?:\d{1,5}$/;

/** Whether an address (of the connection, or named in X-Forwarded-For) is that of a proxy whose word counts. */
export type Trust = (address: string, hops: number) => boolean;

/**
 * @param proxies addresses, CIDR ranges, or loopback, linklocal, uniquelocal
 * @throws TypeError where one is none of that
 */
export function trustOf(proxies: readonly string[]): Trust {
  // The library would read 1, which elsewhere means one proxy, as 0.0.0.1.
  const odd = proxies.find((proxy) => !RANGE_NAMES.includes(proxy) && isIP(proxy.split('/')[0]!) === 0);
  if (odd !== undefined) throw new TypeError('no address and no name of a range');
  return proxyAddr.compile([...proxies]);
}

/**
 * The address of whoever sent a request: of the connection, or where that is a trusted proxy, the last in X-Forwarded-For
 * that is not one itself. In a form by which callers are counted: IPv4 as it is, IPv6 as its network (`2001:db8::/64`).
 */
export function createAddressOf(trust: Trust): (req: IncomingMessage) => string {
  return (req) => {
    const direct = req.socket.remoteAddress ?? '';
    const named = withoutPort(proxyAddr(req, trust));
    // What is no address would let callers be somebody else with every request.
    return ipKeyGenerator(isIP(named) === 0 ? direct : named, IPV6_NETWORK_BITS);
  };
}

function withoutPort(address: string): string {
  return isIP(address) === 0 ? (WITH_PORT.exec(address)?.[1] ?? address) : address;
}
