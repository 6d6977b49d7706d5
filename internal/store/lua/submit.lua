-- submit makes a call: it creates the task, gives an ended one a new life, or finds what is there.
-- ARGV[1] request id   ARGV[2] inbox to tell, or empty   ARGV[3] revive: 'failed', 'complete', both joined by a comma,
-- or empty
-- ARGV[4] policy   ARGV[5] arguments   ARGV[6] where the trace of the call is, or empty
-- Returns {record, result, its encoding, 1 if this call started the life that the record shows, what its piggyback
-- answered}. A resend finds its own request id and only reads (R11).

-- fast is submit for a call that nobody has made yet, and for one that is complete.
local function fast(KEYS, ARGV, piggyback)
  local call = redis.call
  local stored = redis.pcall('HMGET', KEYS[2], FIELDS)
  local state = stored[STATE]
  if state then
    local req = string.match(state, COMPLETE_FORM)
    if not req or req == ARGV[1] or ARGV[3] ~= '' or not stored[RESULT] then
      return nil
    end
  elseif stored.err or call('EXISTS', KEYS[2]) == 1 then -- the key is not ours, or the record has lost its state
    return nil
  end

  local clock = call('TIME')
  local now = string.format('%s%03d', clock[1], clock[2] / 1000)
  if state then
    local record = {state, stored[POLICY], stored[LAST_ERROR], stored[NOTE], stored[PROGRESS], now}
    return {record, stored[RESULT], stored[RESULT_ENCODING], 0}
  end
  state = ',pending,,,,' .. now .. ',,,,,,,,,,' .. ARGV[1] .. ',,' .. ARGV[2]
  call('ZADD', KEYS[1] .. 'pending', now, string.sub(KEYS[2], -32))
  call('HSET', KEYS[2], 'state', state, 'policy', ARGV[4], 'args', ARGV[5])
  if ARGV[6] ~= '' then
    call('HSET', KEYS[2], 'trace', ARGV[6])
  end
  return {{state, ARGV[4], false, false, false, now}, false, false, 1, piggyback and {pcall(piggyback)}}
end

FULL_PATH

if not stored then
  return damage()
end
local status, mine = task[STATUS], task[REQ] == ARGV[1]
local asked = status == 'cancelled' or string.find(',' .. ARGV[3] .. ',', ',' .. tostring(status) .. ',', 1, true)
local starts = not status or (not mine and FROM[status] and asked and not newer())
local damaged = starts and damage() -- a reader finds out by itself
if damaged then
  return damaged
end

if starts then
  if status then
    revive()
    fresh_budget()
    drop_field(LAST_ERROR, 'last_error')
  else
    task = BLANK
    put(CREATED_AT, now_text)
    move('pending', now_text)
    changes.args = ARGV[5]
  end
  set_field(POLICY, 'policy', ARGV[4])
  drop_field(TRACE, 'trace')
  if ARGV[6] ~= '' then set_field(TRACE, 'trace', ARGV[6]) end
  put(REQ, ARGV[1])
end
add_waiter(ARGV[2])
save()
return {public(), stored[RESULT], stored[RESULT_ENCODING], (starts or mine) and 1 or 0}
