import type { Result } from 'ioredis';
import { KEEP_BARS, KEEP_ENTRIES, TRIM_EVERY } from './limits';

/*
 * KEYS: the stream and the head, and where something is appended the leader's lease. The head is a hash:
 *   id          identity
 *   last        number of the last entry, 0 before the first
 *   bars        bars ever appended
 *   done_entry  last entry that its consumer is done with
 *   done        bars up to and including that entry
 *   inherited   last entry that was written under an earlier id
 * An entry's stream id is `<number>-0`; its fields are j (the journal's id), n (bars up to and including it), e (text).
 *
 * Scripts run to the end before anything else does, so each sees and leaves the two keys in step. What finds them out
 * of step (evicted, written by hand, brought back from an older backup) is damage, and damage gives the journal a new
 * id, which is all that both ends need in order to recover.
 */
const COMMON = `
local stream, head = KEYS[1], KEYS[2]

-- Lua would write large numbers with an exponent.
local function digits(number) return string.format('%.0f', number) end

-- The number of an entry, or nil where no append of ours made it.
local function numberOf(entry)
  local f = entry[2]
  if f[1] ~= 'j' or f[3] ~= 'n' or f[5] ~= 'e' or not tonumber(f[4]) then return nil end
  return tonumber(string.match(entry[1], '^(%d+)%-0$'))
end

local function load()
  local v = redis.call('HMGET', head, 'id', 'last', 'bars', 'done_entry', 'done', 'inherited')
  return {
    id = v[1], last = tonumber(v[2]) or 0, bars = tonumber(v[3]) or 0,
    doneEntry = tonumber(v[4]) or 0, done = tonumber(v[5]) or 0, inherited = tonumber(v[6]) or 0,
  }
end

local function save(at)
  redis.call('HSET', head, 'id', at.id, 'last', digits(at.last), 'bars', digits(at.bars),
    'done_entry', digits(at.doneEntry), 'done', digits(at.done), 'inherited', digits(at.inherited))
  return at
end

local function waiting(at) return math.max(0, at.bars - at.done) end

local function startOver(id)
  redis.call('DEL', stream)
  return save({ id = id, last = 0, bars = 0, doneEntry = 0, done = 0, inherited = 0 })
end

-- Gives the journal a new id and goes on behind what is left of it, if that is without holes. Its oldest entry counts
-- as consumed in the number of waiting bars, for how many it holds stands nowhere.
local function renew(id)
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local first, last = oldest and numberOf(oldest), newest and numberOf(newest)
  if not first or not last or last - first + 1 ~= redis.call('XLEN', stream) then return startOver(id) end
  -- A stream remembers numbers of entries that are gone and would refuse them.
  if redis.pcall('XSETID', stream, digits(last) .. '-0').err then return startOver(id) end
  return save({
    id = id, last = last, bars = tonumber(newest[2][4]),
    doneEntry = first - 1, done = tonumber(oldest[2][4]), inherited = last,
  })
end
`;

const OPEN = `
local fresh = ARGV[1]
local at = load()
if not at.id then at = renew(fresh) end
return { at.id, at.last }
`;

/** Answers nothing, and does nothing, where the token leads no more. Nobody can take the lead while a script runs. */
const fenced = (lease: string, token: string) => `
if ${token} ~= '' and redis.call('HGET', ${lease}, 'token') ~= ${token} then return false end
`;

const APPEND = `
local known, knownLast, bars, fresh, text = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local at = load()
if not at.id or (at.id == known and at.last < knownLast) then
  at = renew(fresh)
elseif at.id == known then
  local number, total = digits(at.last + 1), digits(at.bars + bars)
  local added = redis.pcall('XADD', stream, number .. '-0', 'j', at.id, 'n', total, 'e', text)
  if type(added) ~= 'table' then
    redis.call('HSET', head, 'last', number, 'bars', total)
    redis.call('PUBLISH', stream, number)
    at.last, at.bars = at.last + 1, at.bars + bars
  elseif string.find(added.err, 'equal or smaller', 1, true) then
    -- The stream is longer than its head says.
    at = renew(fresh)
  else
    return added
  end
end
return { at.id, at.last, waiting(at) }
`;

const READ = `
local known, knownLast, max, fresh = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

-- Entries from a number, or from the oldest. Else nil and what is wrong: 'lost' where what is left begins later or ends
-- elsewhere than the head says, which a new id heals; 'broken' where it cannot be read in order at all.
local function take(at, from)
  local rows = redis.call('XRANGE', stream, from and digits(from) or '-', '+', 'COUNT', max)
  if #rows == 0 then
    if at.last == 0 then return {} end
    return nil, 'lost'
  end
  local number = numberOf(rows[1])
  if not number then return nil, 'broken' end
  if from and number ~= from then return nil, 'lost' end
  local entries = {}
  for _, row in ipairs(rows) do
    if numberOf(row) ~= number then return nil, 'broken' end
    if number > at.last then return nil, 'lost' end
    if number > at.inherited and row[2][2] ~= at.id then return nil, 'broken' end
    table.insert(entries, { number, tonumber(row[2][4]), row[2][6] })
    number = number + 1
  end
  return entries
end

local at = load()
if not at.id then at = renew(fresh) end
local from = nil
if at.id == known then
  if at.last == knownLast then return { at.id, at.last, {} } end
  if at.last < knownLast then at = renew(fresh) else from = knownLast + 1 end
end
local entries, wrong = take(at, from)
if wrong == 'lost' then
  at = renew(fresh)
  entries, wrong = take(at, nil)
end
if wrong then
  at = startOver(fresh)
  entries = {}
end
return { at.id, at.last, entries }
`;

const CONSUMED = `
local id, number, total = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = load()
if at.id ~= id or number <= at.doneEntry or number > at.last then return 0 end
redis.call('HSET', head, 'done_entry', digits(number), 'done', digits(total))
if math.floor(number / ${TRIM_EVERY}) == math.floor(at.doneEntry / ${TRIM_EVERY}) then return 1 end
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local first = oldest and numberOf(oldest)
if first and first < number then
  local barsPerEntry = math.max(1, (total - tonumber(oldest[2][4])) / (number - first))
  local keep = math.max(1, math.min(${KEEP_ENTRIES}, math.floor(${KEEP_BARS} / barsPerEntry)))
  local oldestKept = number - keep + 1
  if oldestKept > first then redis.call('XTRIM', stream, 'MINID', digits(oldestKept)) end
end
return 1
`;

/** Publishes what it may, and answers with the first failure. */
const PUBLISH = `
local failure = nil
for i = 2, #ARGV, 2 do
  local published = redis.pcall('PUBLISH', ARGV[i], ARGV[i + 1])
  if type(published) == 'table' and published.err then failure = failure or published end
end
return failure or 1
`;

/** Commands that work on one journal, whose keys are its stream and its head; what is fenced has the lease as its last key. */
export const JOURNAL_SCRIPTS = {
  journalOpen: { numberOfKeys: 2, lua: COMMON + OPEN },
  journalAppend: { numberOfKeys: 3, lua: fenced('KEYS[3]', 'ARGV[6]') + COMMON + APPEND },
  journalRead: { numberOfKeys: 2, lua: COMMON + READ },
  journalConsumed: { numberOfKeys: 2, lua: COMMON + CONSUMED },
  journalPublish: { numberOfKeys: 1, lua: fenced('KEYS[1]', 'ARGV[1]') + PUBLISH },
} as const;

type Head = [id: string, last: number];

declare module 'ioredis' {
  interface RedisCommander<Context> {
    journalOpen(stream: string, head: string, freshId: string): Result<Head, Context>;
    journalAppend(
      stream: string,
      head: string,
      lease: string,
      knownId: string,
      knownLast: number,
      bars: number,
      freshId: string,
      text: string,
      token: string,
    ): Result<[...Head, waiting: number] | null, Context>;
    journalPublish(lease: string, token: string, ...channelsAndTexts: string[]): Result<number | null, Context>;
    journalRead(
      stream: string,
      head: string,
      knownId: string,
      knownLast: number,
      entriesMax: number,
      freshId: string,
    ): Result<[...Head, [number: number, barsTotal: number, text: string][]], Context>;
    journalConsumed(
      stream: string,
      head: string,
      id: string,
      number: number,
      barsTotal: number,
    ): Result<number, Context>;
  }
}
