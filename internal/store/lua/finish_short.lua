-- finish_short is finish for an attempt that is complete.
-- KEYS and ARGV as finish has them, then those of its rider. Returns what finish does, and what its rider answered; false,
-- with nothing written, when it takes finish.

local call = redis.call
local stored = call('HMGET', KEYS[2], FIELDS)
local policy, result = stored[POLICY], ARGV[3]
local cycle, delivery, attempt, created, updated, started, counts, token, req, worker, waiters = string.match(stored[STATE] or '', PROCESSING_FORM)
if token ~= ARGV[1] or #cycle + #delivery + #attempt + #counts > MOST_DIGITS or #created > MOST_DIGITS or #updated > MOST_DIGITS or #started > MOST_DIGITS
  or ARGV[2] ~= 'complete' or ARGV[4] ~= '' or stored[NOTE] or stored[PROGRESS] or stored[RESULT_ENCODING] or not policy
  or #policy > SHORT_POLICY or string.find(policy, ',.', 1, true) then
  return false
end
local sound, _, _, ttl = string.find(policy, POLICY_FORM)
if not sound then
  return false
end

local clock = call('TIME')
local now = string.format('%s%03d', clock[1], clock[2] / 1000)
local hash, claims = string.sub(KEYS[2], -32), KEYS[1] .. 'claims:' .. worker
call('LPUSH', KEYS[1] .. 'completions', now .. hash)
if call('HGET', claims, hash) == token then
  call('HDEL', claims, hash)
end
local state = ',complete,' .. cycle .. ',' .. delivery .. ',' .. attempt .. ',' .. created .. ',,' .. started .. ',' .. now .. ',,'
  .. counts .. ',' .. token .. ',' .. req .. ',,'
call('HSET', KEYS[2], 'state', state, 'result', result)
call('PEXPIRE', KEYS[2], ttl ~= '' and ttl or 'DEFAULT_TTL') -- as text: Lua takes its time to write a number

if waiters ~= '' then
  local last_error = stored[LAST_ERROR]
  local message = string.match(KEYS[1], '{(.*)}') .. ':' .. hash .. ' ' .. (cycle ~= '' and cycle or '1') .. ' complete\n'
  if #result <= PUSH_MOST then
    message = message .. FORMAT .. #state .. ':' .. state .. #policy .. ':' .. policy
      .. (last_error and #last_error .. ':' .. last_error or '-') .. '--' .. #now .. ':' .. now .. #result .. ':' .. result .. '-'
  end
  if not string.find(waiters, ',', 1, true) then -- as a rule there is one
    call('PUBLISH', waiters, message)
  else
    for inbox in string.gmatch(waiters, '[^,]+') do
      call('PUBLISH', inbox, message)
    end
  end
end
return {1, 'complete', 0, ride and ride()}
