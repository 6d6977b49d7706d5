-- submit_short is submit for a call that nobody has made yet, or one that is complete.
-- KEYS and ARGV as submit has them, then those of its rider. Returns what submit does, and what its rider answered; false,
-- with nothing written, when it takes submit.

local call = redis.call
local stored = call('HMGET', KEYS[2], FIELDS)
local state = stored[STATE]
local clock = call('TIME')
local now = string.format('%s%03d', clock[1], clock[2] / 1000)

if state then
  local req = string.match(state, COMPLETE_FORM)
  if not req or req == ARGV[1] or ARGV[3] ~= '' or not stored[RESULT] then
    return false
  end
  return {{state, stored[POLICY], stored[LAST_ERROR], stored[NOTE], stored[PROGRESS], now}, stored[RESULT], stored[RESULT_ENCODING], 0}
elseif stored[POLICY] or stored[RESULT] then -- it has lost its state
  return false
end

state = ',pending,,,,' .. now .. ',,,,,,,,,,' .. ARGV[1] .. ',,' .. ARGV[2]
call('ZADD', KEYS[1] .. 'pending', now, string.sub(KEYS[2], -32))
call('HSET', KEYS[2], 'state', state, 'policy', ARGV[4], 'args', ARGV[5])
if ARGV[6] ~= '' then
  call('HSET', KEYS[2], 'trace', ARGV[6])
end
return {{state, ARGV[4], false, false, false, now}, false, false, 1, ride and ride()}
