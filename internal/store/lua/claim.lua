-- claim starts an attempt.
-- ARGV[1] token   ARGV[2] worker   ARGV[3] '1' to leave suspects, which may bring the worker down; else absent
-- ARGV[4] functions that are paused, each with its version, all between commas; absent if there are none
-- Returns {'run', record, arguments, trace, when a retry was due, turn}; {'later', ms} for a retry that is not due, or a
-- record newer than the caller, or a function that is paused; {'later', ms, 1} for a suspect that is left; {'ack'} when there is
-- nothing to do, {'ack', who was let in} when the task waits for its turn now.
-- A damaged record is an error, and stays as it is: whoever ran it could not finish it.
-- A resend by the holder of the token gets the first answer again; a copy that comes after the attempt's end gets
-- 'ack'.

-- fast is claim for a pending task that has not failed yet. A newer record, or one with a note or progress, is not its
-- own. stored has the fields of the record, if they were read: by a take, which has looked at what is paused.
local function fast(KEYS, ARGV, _, stored)
  local call = redis.call
  if not stored and ARGV[4] then
    return nil
  end
  stored = stored or redis.pcall('HMGET', KEYS[2], FIELDS)
  local policy, args = stored[POLICY], stored[ARGS]
  local v, cycle, delivery, attempt, created, updated, last_token, req, waiters = string.match(stored[STATE] or '', PENDING_FORM)
  if not cycle or #cycle + #delivery + #attempt > MAX_DIGITS or #created > MAX_DIGITS or #updated > MAX_DIGITS
    or last_token == ARGV[1] or not args or stored[NOTE] or stored[PROGRESS]
    or not policy or not string.find(policy, POLICY_FORM) or #policy > SHORT_POLICY or string.find(policy, ',.', 1, true) then
    return nil
  end
  local hash, turn = string.sub(KEYS[2], -32), nil
  if v ~= '' then
    local old
    turn, old = unpack(call('HMGET', KEYS[2], 'turn', FIELD_RESULT_FROM))
    local name, key = string.match(turn or '', '^([^/]*)/([^/]*)/')
    local gate = KEYS[1] .. 'gate:' .. (name or '')
    if old or not name then
      return nil
    end
    local numbers, set, paused = unpack(call('HMGET', gate, 'numbers', 'set', 'paused_until'))
    local key_paused, closed = unpack(call('HMGET', gate .. ':k:' .. key, 'paused_until', 'closed_until'))
    if set or paused or key_paused or closed or not string.find(numbers or '', '^%d+,%-?%d+,0,')
      or not call('ZSCORE', gate .. ':held', hash .. key) then
      return nil
    end
  end

  local clock = call('TIME')
  local now = string.format('%s%03d', clock[1], clock[2] / 1000)
  call('ZADD', KEYS[1] .. 'workers', now, ARGV[2]) -- R5: a claim before the first beat must not look orphaned
  call('HSET', KEYS[1] .. 'claims:' .. ARGV[2], hash, ARGV[1])
  call('ZREM', KEYS[1] .. 'pending', hash)
  local state = v .. ',processing,' .. cycle .. ',' .. delivery .. ','
    .. (attempt == '' and '1' or string.format('%.0f', attempt + 1)) .. ',' .. created .. ',' .. updated .. ',' .. now
    .. ',,,,,,,' .. ARGV[1] .. ',' .. req .. ',' .. ARGV[2] .. ',' .. waiters
  call('HSET', KEYS[2], 'state', state)
  return {'run', {state, policy, stored[LAST_ERROR], false, false, now}, args, stored[TRACE], false, turn}
end

FULL_PATH

if stored and newer() and (not task[STATUS] or FROM[task[STATUS]]) then
  return {'later', NEWER_LATER} -- a newer worker can read it; claimed here, it would be lost
end
local damaged = damage()
if damaged then
  return damaged
end
local status, args, trace = task[STATUS], stored[ARGS], stored[TRACE]
if status == 'processing' and task[TOKEN] == ARGV[1] then
  return {'run', public(), args, trace, stored[TURN] and false, stored[TURN] or nil}
end
if not FROM[status] or task[TOKEN] == ARGV[1] then
  return {'ack'}
end
if status == 'retrying' and number(NEXT_RETRY_AT) > now then
  return {'later', number(NEXT_RETRY_AT) - now}
end
local name = ARGV[4] and function_in(stored[POLICY])
if name and string.find(ARGV[4], ',' .. name .. ',', 1, true) then
  return {'later', PAUSED_LATER}
end
if ARGV[3] and number(LOST_COUNT, 0) >= SUSPECT_FROM then
  return {'later', SUSPECT_LATER, 1}
end

local turn = turn_in(stored[TURN])
if turn then
  local may, frees = may_run(turn)
  if not may and not frees then
    put(NEXT_RETRY_AT, '')
    save()
    return {'ack', the_gates().written()}
  end
  the_gates().written()
  if frees then
    return {'later', frees}
  end
end

local due = status == 'retrying' and task[NEXT_RETRY_AT]
redis.call('ZADD', prefix .. 'workers', now, ARGV[2]) -- R5
redis.call('HSET', prefix .. 'claims:' .. ARGV[2], hash, ARGV[1])
move('processing')
put(NEXT_RETRY_AT, '')
drop_field(PROGRESS, 'progress')
drop_field(NOTE, 'note')
put(ATTEMPT, number(ATTEMPT, 0) + 1)
put(STARTED_AT, now_text)
put(TOKEN, ARGV[1])
put(WORKER, ARGV[2])
save()
return {'run', public(), args, trace, due, stored[TURN] or nil}
