import type { Result } from 'ioredis';

/*
 * KEYS: the lease and the count. The lease is a hash that expires, by the clock of Redis, and so is there as long as
 * somebody leads:
 *   owner   who
 *   token   <count>:<random>:<owner>; the count orders tokens for whoever looks, the random part makes them other ones in
 *           a Redis that was emptied and counts from 1 again
 * The journal's scripts read the token in the same step in which they append.
 */
const COMMON = `
local lease, count = KEYS[1], KEYS[2]
`;

const ACQUIRE = `
local owner, ms, random = ARGV[1], ARGV[2], ARGV[3]
local present = redis.call('HGET', lease, 'owner')
if present and present ~= owner then return false end
local token = redis.call('INCR', count) .. ':' .. random .. ':' .. owner
redis.call('HSET', lease, 'owner', owner, 'token', token)
redis.call('PEXPIRE', lease, ms)
return token
`;

const RENEW = `
if redis.call('HGET', lease, 'token') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', lease, ARGV[2])
`;

const RELEASE = `
if redis.call('HGET', lease, 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', lease)
redis.call('PUBLISH', lease, ARGV[1])
return 1
`;

/** Commands on the lease. */
export const LEADER_SCRIPTS = {
  leaderAcquire: COMMON + ACQUIRE,
  leaderRenew: COMMON + RENEW,
  leaderRelease: COMMON + RELEASE,
} as const;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    leaderAcquire(
      lease: string,
      count: string,
      owner: string,
      leaseMs: number,
      random: string,
    ): Result<string | null, Context>;
    leaderRenew(lease: string, count: string, token: string, leaseMs: number): Result<number, Context>;
    leaderRelease(lease: string, count: string, token: string): Result<number, Context>;
  }
}
