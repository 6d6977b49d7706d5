-- claim_short is claim for a pending task that has not failed yet.
-- KEYS and ARGV as claim has them. Returns what claim does; false, with nothing written, when it takes claim.

local call = redis.call
local stored = call('HMGET', KEYS[2], FIELDS)
local policy, args = stored[POLICY], stored[ARGS]
local cycle, delivery, attempt, created, updated, last_token, req, waiters = string.match(stored[STATE] or '', PENDING_FORM)
if not cycle or #cycle + #delivery + #attempt > MOST_DIGITS or #created > MOST_DIGITS or #updated > MOST_DIGITS or last_token == ARGV[1]
  or not args or stored[NOTE] or stored[PROGRESS] or not policy or not string.find(policy, POLICY_FORM) or #policy > SHORT_POLICY
  or string.find(policy, ',.', 1, true) then
  return false
end

local clock = call('TIME')
local now = string.format('%s%03d', clock[1], clock[2] / 1000)
local hash = string.sub(KEYS[2], -32)
call('ZADD', KEYS[1] .. 'workers', now, ARGV[2]) -- R5
call('HSET', KEYS[1] .. 'claims:' .. ARGV[2], hash, ARGV[1])
call('ZREM', KEYS[1] .. 'pending', hash)
local state = ',processing,' .. cycle .. ',' .. delivery .. ',' .. (attempt == '' and '1' or string.format('%.0f', attempt + 1)) .. ','
  .. created .. ',' .. updated .. ',' .. now .. ',,,,,,,' .. ARGV[1] .. ',' .. req .. ',' .. ARGV[2] .. ',' .. waiters
call('HSET', KEYS[2], 'state', state)
return {'run', {state, policy, stored[LAST_ERROR], false, false, now}, args, stored[TRACE], false}
