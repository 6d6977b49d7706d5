-- finish ends an attempt.
-- ARGV[1] token   ARGV[2] kind, then by kind:
--   complete  ARGV[3] result   ARGV[4] its encoding, or empty
--   error     ARGV[3] error   ARGV[4] cause   ARGV[5] '1' if permanent   ARGV[6] delay in ms before a retry   ARGV[7] note, or empty
--             ARGV[8] code of the error, or empty   ARGV[9] its details as JSON, or empty
--   release   ARGV[3] note, or empty   ARGV[4] who hands it back
--   unavailable   ARGV[3] error   ARGV[4] for how many ms what the function needs is closed   ARGV[5] who says so
--   hand_on   ARGV[3] note   ARGV[4] who hands it on   ARGV[5] what it lacks: 'function', 'member' or 'program'
-- Returns {1, status, ms until the next retry, what its piggyback answered, who was let in}, or {0} when the token is not current: the
-- outcome is void. A resend finds its token as last_token and gets the same answer.

-- fast is finish for an attempt that is complete, of a task without note, progress or an older result's encoding.
local function fast(KEYS, ARGV, piggyback)
  local call = redis.call
  local stored = redis.pcall('HMGET', KEYS[2], FIELDS)
  local policy, result = stored[POLICY], ARGV[3]
  local v, cycle, delivery, attempt, created, updated, started, counts, token, req, worker, waiters =
    string.match(stored[STATE] or '', PROCESSING_FORM)
  if token ~= ARGV[1] or #cycle + #delivery + #attempt + #counts > MAX_DIGITS
    or #created > MAX_DIGITS or #updated > MAX_DIGITS or #started > MAX_DIGITS
    or ARGV[2] ~= 'complete' or ARGV[4] ~= '' or stored[NOTE] or stored[PROGRESS] or stored[RESULT_ENCODING]
    or not policy or #policy > SHORT_POLICY or string.find(policy, ',.', 1, true) then
    return nil
  end
  local sound, _, _, ttl = string.find(policy, POLICY_FORM)
  if not sound or string.byte(ttl) == ZERO or string.byte(cycle) == ZERO then -- they are used as text here
    return nil
  end
  local hash = string.sub(KEYS[2], -32)
  if v ~= '' then
    local turn, old = unpack(call('HMGET', KEYS[2], 'turn', FIELD_RESULT_FROM))
    local name, key = string.match(turn or '', '^([^/]*)/([^/]*)/')
    local gate = KEYS[1] .. 'gate:' .. (name or '')
    if old or not name or call('EXISTS', gate .. ':k:' .. key, gate .. ':waits') > 0 then
      return nil
    end
    call('ZREM', gate .. ':held', hash .. key)
    call('SREM', gate .. ':held:' .. key, hash)
  end

  local clock = call('TIME')
  local now = string.format('%s%03d', clock[1], clock[2] / 1000)
  local claims = KEYS[1] .. 'claims:' .. worker
  call('LPUSH', KEYS[1] .. 'completions', now .. hash)
  if call('HGET', claims, hash) == token then
    call('HDEL', claims, hash)
  end
  local state = ',complete,' .. cycle .. ',' .. delivery .. ',' .. attempt .. ',' .. created .. ',,' .. started .. ',' .. now
    .. ',,' .. counts .. ',' .. token .. ',' .. req .. ',,'
  if v ~= '' then
    call('HDEL', KEYS[2], 'turn')
  end
  call('HSET', KEYS[2], 'state', state, 'result', result)
  call('PEXPIRE', KEYS[2], ttl ~= '' and ttl or 'DEFAULT_TTL') -- as text: Lua takes its time to write a number

  if waiters ~= '' then
    local last_error = stored[LAST_ERROR]
    local message = string.match(KEYS[1], '{(.*)}') .. ':' .. hash .. ' ' .. (cycle ~= '' and cycle or '1') .. ' complete\n'
    if #result <= MAX_PUSH then
      message = message .. FORMAT .. #state .. ':' .. state .. #policy .. ':' .. policy
        .. (last_error and #last_error .. ':' .. last_error or '-') .. '--' .. #now .. ':' .. now .. #result .. ':' .. result .. '-'
    end
    for inbox in string.gmatch(waiters, '[^,]+') do
      local channel = KEYS[1] .. string.gsub(inbox, '^refq:inbox:', 'in:')
      local heard = redis.pcall('SPUBLISH', channel, message)
      if type(heard) == 'table' and string.find(heard.err, 'nknown') then -- before Redis 7
        redis.pcall('PUBLISH', channel, message)
      end
    end
  end
  return {1, 'complete', 0, piggyback and {pcall(piggyback)}}
end

FULL_PATH

local damaged = damage()
if damaged then
  return damaged
end
if task[TOKEN] == ARGV[1] and task[STATUS] ~= 'processing' then
  local refresh = result_from[REFRESH] or ''
  return {1, refresh ~= '' and 'failed' or task[STATUS], math.max(0, number(NEXT_RETRY_AT, now) - now)}
end
if not FROM[task[STATUS]] or task[TOKEN] ~= ARGV[1] then
  return {0}
end

local function note(text)
  if text ~= '' then set_field(NOTE, 'note', text) end
end

local turn = turn_in(stored[TURN])

local function complete(result, encoding)
  if turn then
    the_gates().open_key(turn.gate, turn.key, number(STARTED_AT, 0))
    end_turn(turn)
  end
  end_task('complete', result, encoding ~= '' and encoding)
  return {1, 'complete', 0}
end

-- fail ends an attempt that failed. Of a panic the history has the stack, the error its first line. last: there is no retry,
-- whatever is left.
local function fail(text, cause, permanent, delay, remark, code, details, last)
  local retries = number(RETRY_COUNT, 0)
  local retry = not last and permanent ~= '1' and retries < (tonumber(max_retries) or DEFAULT_MAX_RETRIES)
  attempt_ended(cause, text, retry and delay or nil, permanent == '1', code ~= '' and code or nil, details ~= '' and details or nil)
  set_field(LAST_ERROR, 'last_error', cause == 'panic' and string.match(text, '^[^\n]*') or text)
  if turn then end_turn(turn) end
  if not retry then
    end_without_result('failed', permanent == '1' and 'permanent' or cause, task[WORKER])
    return {1, 'failed', 0}
  end
  move('retrying', now + delay)
  put(RETRY_COUNT, retries + 1)
  put(NEXT_RETRY_AT, now + delay)
  put(UPDATED_AT, now_text)
  note(remark)
  save()
  return {1, 'retrying', delay}
end

local function release(remark, by)
  take_back(wait_for_worker)
  note(remark)
  event('handed_back', by)
  save()
  return {1, 'pending', 0}
end

-- hand_on is release by a worker that lacks something. Those in a row, with nothing between, are one event. Some time after
-- the first for lack of a member another such one is the end: somebody may have misspelt it.
local function hand_on(remark, by, lacks)
  local n = number(EVENT_N, 0)
  local sound, row = pcall(cjson.decode, n > 0 and redis.call('HGET', record, 'event:' .. n) or '')
  if not (sound and type(row) == 'table' and row.times and row.attempts == number(HIST_N, 0) and row.cycle == number(CYCLE, 1)) then
    n = n + 1
    row = {kind = 'handed_back', times = 0, since = now, attempts = number(HIST_N, 0), cycle = number(CYCLE, 1)}
  end
  if lacks == 'member' then
    row.member_since = row.member_since or now
  end
  if lacks == 'member' and now - row.member_since >= HAND_ON_FOR then
    return fail(remark, 'error', '', nil, nil, '', '', true)
  end
  take_back(wait_for_worker)
  note(remark)
  row.at, row.by, row.times = now, by, row.times + 1
  if n > number(EVENT_N, 0) then
    append(EVENT_N, 'event:', row)
  else
    changes['event:' .. n] = cjson.encode(row)
  end
  save()
  return {1, 'pending', 0}
end

-- unavailable has the task wait at its old place, and closes its key for a time. Without a turn it is handed back.
local function unavailable(text, closed_for, by)
  if not turn then
    return release(text, by)
  end
  take_back(function() wait_for_turn(turn) end)
  the_gates().close_key(turn.gate, turn.key, closed_for)
  the_gates().place(turn.gate, turn.key)
  the_gates().give_back(turn.gate, turn.key, hash)
  set_field(LAST_ERROR, 'last_error', text)
  append(EVENT_N, 'event:', {at = now, kind = 'unavailable', by = by, note = text})
  save()
  return {1, 'waiting', 0}
end

last_token = ARGV[1]
local answer
if ARGV[2] == 'complete' then
  answer = complete(ARGV[3], ARGV[4])
elseif ARGV[2] == 'error' then
  answer = fail(ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9])
elseif ARGV[2] == 'unavailable' then
  answer = unavailable(ARGV[3], tonumber(ARGV[4]), ARGV[5])
elseif ARGV[2] == 'hand_on' then
  answer = hand_on(ARGV[3], ARGV[4], ARGV[5])
else
  answer = release(ARGV[3], ARGV[4])
end
if turn then
  local let_in = the_gates().written()
  answer[4] = answer[2] == 'complete' and piggyback and {pcall(piggyback)} or nil
  if #let_in > 0 then
    answer[4], answer[5] = answer[4] or false, let_in
  end
end
return answer
