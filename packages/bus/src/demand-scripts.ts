import type { Result } from 'ioredis';
import { WANTED_MAX } from './limits';

/*
 * KEYS: two sorted sets of the same symbols.
 *   leases   by the end of the lease, epoch ms by the clock of Redis
 *   order    by a number that grows with each symbol that is new
 * Every script begins by removing what has run out, so nothing outlives its lease for longer than nobody looks.
 */
const COMMON = `
local leases, order = KEYS[1], KEYS[2]

-- Lua would write large numbers with an exponent.
local function digits(number) return string.format('%.0f', number) end

local function forget(symbol)
  redis.call('ZREM', leases, symbol)
  redis.call('ZREM', order, symbol)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, symbol in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', digits(now))) do forget(symbol) end
if redis.call('ZCARD', leases) ~= redis.call('ZCARD', order) then
  -- One of the two was evicted. What is wanted counts; who was first is lost.
  redis.call('DEL', order)
  for number, symbol in ipairs(redis.call('ZRANGE', leases, 0, -1)) do redis.call('ZADD', order, number, symbol) end
end
`;

const WANT = `
local ending = digits(now + ARGV[1])
local size = redis.call('ZCARD', leases)
local number = tonumber(redis.call('ZRANGE', order, -1, -1, 'WITHSCORES')[2]) or 0
local new, refused = 0, 0
for i = 2, #ARGV do
  local symbol = ARGV[i]
  if redis.call('ZSCORE', leases, symbol) then
    redis.call('ZADD', leases, 'GT', ending, symbol)
  elseif size + new < ${WANTED_MAX} then
    new = new + 1
    redis.call('ZADD', leases, ending, symbol)
    redis.call('ZADD', order, digits(number + new), symbol)
  else
    refused = refused + 1
  end
end
if new > 0 then redis.call('PUBLISH', leases, new) end
return refused
`;

const WANTED = `
return redis.call('ZRANGE', order, 0, -1)
`;

const DROP = `
forget(ARGV[1])
return 1
`;

/** Commands on the two sorted sets. */
export const DEMAND_SCRIPTS = {
  demandWant: COMMON + WANT,
  demandWanted: COMMON + WANTED,
  demandDrop: COMMON + DROP,
} as const;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    demandWant(leases: string, order: string, leaseMs: number, ...symbols: string[]): Result<number, Context>;
    demandWanted(leases: string, order: string): Result<string[], Context>;
    demandDrop(leases: string, order: string, symbol: string): Result<number, Context>;
  }
}
