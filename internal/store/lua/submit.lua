-- submit makes a call: it creates the task, gives an ended one a new life, or finds what is there.
-- ARGV[1] request id   ARGV[2] inbox to tell, or empty
-- ARGV[3] terms: what it starts anew ('failed', 'complete'), 'keyed' if the arguments may be others than those on record, and
-- 'refuse' if it is to be refused then, 'of=<created_at>:<delivery>' if it is about that life alone, joined by spaces, or
-- nothing; and unless all of these are
-- the default, by commas: for how many ms a failure answers, by kind; how old in ms a result may be that is waited for
-- otherwise; how old one may be that is renewed behind otherwise. Each is empty if it is the default. If the function has
-- tags, there follow '#', how long in ms a result is kept, and the stamps that count, by commas
-- ARGV[4] policy   ARGV[5] arguments   ARGV[6] where the trace of the call is, or empty   ARGV[7] its turn, or empty
-- Returns {record, result, its encoding, 1 if this call started the life that the record shows, what its piggyback
-- answered, the newest of the stamps if the result, or the run under way, began before it}; -1 in place of 1 if it was
-- refused, -2 if too many calls wait for their turn. Of a call that waits at a gate or a key that is paused the answer has at place 7
-- {gate, key, the note of the gate's pause, that of the key's}, false for what is not paused. A resend finds its own request id and
-- only reads (R11).

-- passes gives a new task a permit if it may start at once, and nobody at all waits in its gate. Whatever is rare it leaves to the
-- full path: rates, pauses, what an operator has set.
local function passes(prefix, turn, hash, now)
  local call = redis.call
  local name, key = string.match(turn, '^([^/]*)/([^/]*)/')
  local gate = prefix .. 'gate:' .. name
  local numbers, set, paused = unpack(call('HMGET', gate, 'numbers', 'set', 'paused_until'))
  local each, all, interval = string.match(numbers or '', '^(%d+),(%-?%d+),(%d+),')
  if interval ~= '0' or set or paused or call('EXISTS', gate .. ':k:' .. key, gate .. ':waits') > 0 then
    return false
  end
  each, all = tonumber(each), tonumber(all)
  if all < 0 then
    all = math.max(MIN_SLOTS, math.ceil((tonumber(call('HGET', prefix .. 'sweep', 'slots')) or 0) * MORE_SLOTS))
  end
  if each > 0 and call('SCARD', gate .. ':held:' .. key) >= each or all > 0 and call('ZCARD', gate .. ':held') >= all then
    return false
  end
  call('ZADD', gate .. ':held', now, hash .. key)
  call('SADD', gate .. ':held:' .. key, hash)
  return true
end

-- fast is submit for a call that nobody has made yet, and for one that is complete.
local function fast(KEYS, ARGV, piggyback)
  local call = redis.call
  local stored = redis.pcall('HMGET', KEYS[2], FIELDS)
  local state, started, req = stored[STATE], nil, nil
  local terms, kept_for, stamps = ARGV[3], nil, nil
  if terms ~= '' and string.find(terms, '#', 1, true) then
    terms, kept_for, stamps = string.match(terms, TERMS_FORM)
  end
  if state then
    started, req = string.match(state, COMPLETE_FORM)
    if not req or req == ARGV[1] or not stored[RESULT] then
      return nil
    elseif terms ~= '' and (string.find(terms, 'complete', 1, true) or string.find(terms, 'refuse', 1, true)) then
      return nil
    end
  elseif stored.err or string.find(terms, 'of=', 1, true) or call('EXISTS', KEYS[2]) == 1 then -- the key is not ours, or the record has lost its state
    return nil
  end

  local clock = call('TIME')
  local now = string.format('%s%03d', clock[1], clock[2] / 1000)
  if state then
    if stamps then
      local names = {'floor'}
      for name in string.gmatch(stamps, '[^,]+') do
        names[#names + 1] = name
      end
      for _, stamp in ipairs(call('ZMSCORE', KEYS[1] .. 'stamps', unpack(names))) do
        if stamp and tonumber(stamp) >= (tonumber(started) or 0) then
          return nil
        end
      end
    end
    local max_age, fresh = string.match(terms, ',(%d*),(%d*)$')
    local age = max_age and now - (tonumber(started) or 0)
    if age and (age > (tonumber(max_age) or age) or age > (tonumber(fresh) or age)) then
      return nil
    end
    local record = {state, stored[POLICY], stored[LAST_ERROR], stored[NOTE], stored[PROGRESS], now}
    return {record, stored[RESULT], stored[RESULT_ENCODING], 0}
  end
  if stamps and (tonumber(call('HGET', KEYS[1] .. 'sweep', 'max_ttl')) or 0) < tonumber(kept_for) then
    call('HSET', KEYS[1] .. 'sweep', 'max_ttl', kept_for)
  end
  local v = ''
  if ARGV[7] ~= '' then
    if not passes(KEYS[1], ARGV[7], string.sub(KEYS[2], -32), now) then
      return nil
    end
    v = V_TURN
    call('HSET', KEYS[2], 'turn', ARGV[7] .. '/' .. now)
  end
  state = v .. ',pending,,,,' .. now .. ',,,,,,,,,,' .. ARGV[1] .. ',,' .. ARGV[2]
  call('ZADD', KEYS[1] .. 'pending', now, string.sub(KEYS[2], -32))
  call('HSET', KEYS[2], 'state', state, 'policy', ARGV[4], 'args', ARGV[5])
  if ARGV[6] ~= '' then
    call('HSET', KEYS[2], 'trace', ARGV[6])
  end
  return {{state, ARGV[4], false, false, false, now}, false, false, 1, piggyback and {pcall(piggyback)}}
end

FULL_PATH

-- failure_kind is why the task failed.
local function failure_kind()
  local sound, entry = pcall(cjson.decode, last_attempt() or '')
  if not sound or type(entry) ~= 'table' then
    return 'error'
  end
  return entry.permanent and 'permanent' or entry.cause
end

local all_terms, kept_for, stamps = ARGV[3], nil, nil
if string.find(ARGV[3], '#', 1, true) then
  all_terms, kept_for, stamps = string.match(ARGV[3], TERMS_FORM)
end

-- terms has the words of the terms, false for what is the default.
local terms = {}
for word in string.gmatch(all_terms .. ',', '([^,]*),') do
  terms[#terms + 1] = tonumber(word) or false
end

-- stamp is the newest one that counts for the call: what an attempt made that began then, or before, is no answer. It is
-- -1 if there is none, or no task that it might be about.
local stamp = stamps and task[STATUS] and newest_stamp(stamps) or -1

-- answers_for is for how many ms a failure of this kind answers.
local function answers_for(kind)
  local place = FAILURE_PLACES[kind] or 1
  return terms[place + 1] or FAILURE_DEFAULTS[place]
end

-- as_of is when the attempt began that made the result.
local function as_of()
  return tonumber(result_from[AS_OF]) or number(STARTED_AT, 0)
end

-- is_older is whether the result is of an attempt that began more than so many ms ago; not if there is no such limit.
local function is_older(limit)
  return limit and now - as_of() > limit
end

-- must_wait is whether the call takes the result only when it is newer.
local function must_wait()
  return is_older(terms[MAX_AGE]) or as_of() <= stamp
end

-- answers_still is whether a failure of some kind answers. One that began before the newest stamp does not.
local function answers_still(kind)
  return now - number(COMPLETED_AT, 0) < answers_for(kind) and number(STARTED_AT, 0) > stamp
end

-- may_renew is whether another refresh may begin, as far as the last one is concerned: one that failed answers for its time.
local function may_renew()
  local failed = result_from[REFRESH] or ''
  return failed == '' or failed == 'cancelled' or not answers_still(failed)
end

-- keep_result has the result of a complete task answer while a new one is made.
local function keep_result()
  if not result_from[AS_OF] then
    result_from[AS_OF] = task[STARTED_AT] ~= '' and task[STARTED_AT] or task[COMPLETED_AT]
    result_from[EXPIRES_AT] = whole_text(number(COMPLETED_AT) + (tonumber(ttl) or DEFAULT_TTL))
  end
  result_from[REFRESH] = ''
  set_field(RESULT_FROM, 'result_from', table.concat(result_from, ','))
end

if not stored then
  return damage()
end
local revives = string.match(all_terms, '^[^,]*')
local status, mine = task[STATUS], task[REQ] == ARGV[1]
local why = status == 'failed' and failure_kind()
local asked = status == 'cancelled' or why and not answers_still(why)
  or string.find(revives, tostring(status), 1, true)
  or status == 'complete' and (must_wait() or is_older(terms[FRESH])) and may_renew()
local created, delivery = string.match(revives, 'of=(%d+):(%d+)')
if created and not status then
  return false
elseif created and (created ~= task[CREATED_AT] or tonumber(delivery) ~= number(DELIVERY, 1)) then
  asked = false
end
local starts = not status or (not mine and FROM[status] and asked and not newer())
local damaged = starts and damage() -- a reader finds out by itself
if damaged then
  return damaged
end

if string.find(revives, 'refuse', 1, true) and status and not mine and status ~= 'failed' and status ~= 'cancelled'
  and redis.call('HGET', record, 'args') ~= ARGV[5] then
  return {public(), false, false, -1}
end

local turn = starts and ARGV[7] ~= '' and turn_in(made_now(ARGV[7])) or nil
local may = not turn or may_start(turn)
if not may and the_gates().refuses(turn.gate, turn.key) then
  if status ~= 'complete' or must_wait() or string.find(revives, 'complete', 1, true) then
    return {false, false, false, -2}
  end
  starts = false -- the old result answers, and is renewed another time
end

-- waits has the task wait for a worker, or for its turn.
local function waits()
  if not may then
    wait_for_turn(turn)
  elseif status then
    wait_for_worker()
  else
    move('pending', now_text)
  end
end

if starts then
  if stamps then
    raise_max_ttl(kept_for)
  end
  if status then
    if string.find(revives, 'keyed', 1, true) then
      changes.args = ARGV[5]
    end
    local lost = why == 'lost' and task[LOST_COUNT]
    if status == 'complete' then
      keep_result()
    else
      result_from = {}
      drop_field(RESULT_FROM, 'result_from')
    end
    revive(waits)
    fresh_budget()
    if lost then
      put(LOST_COUNT, lost) -- a suspect: the next loss ends it
    end
    drop_field(LAST_ERROR, 'last_error')
  else
    task = BLANK
    put(CREATED_AT, now_text)
    waits()
    changes.args = ARGV[5]
  end
  set_field(POLICY, 'policy', ARGV[4])
  drop_field(TRACE, 'trace')
  if ARGV[6] ~= '' then set_field(TRACE, 'trace', ARGV[6]) end
  put(REQ, ARGV[1])
  if turn then
    set_field(TURN, 'turn', made_now(ARGV[7]))
    if may then begins(turn) end
    the_gates().written()
  else
    drop_field(TURN, 'turn')
  end
end
local result = may_answer() and stored[RESULT]
if not result or string.find(revives, 'complete', 1, true) or must_wait() then -- else the old result is the answer
  add_waiter(ARGV[2])
end
save()
local answer = {public(), result, stored[RESULT_ENCODING], (starts or mine) and 1 or 0}
if status and as_of() <= stamp then
  answer[5], answer[6] = false, stamp
end
if turn and may and not status and piggyback then
  answer[5] = {pcall(piggyback)}
end
local waits_for = task[STATUS] == 'waiting' and (turn or turn_in(stored[TURN]))
if waits_for and (waits_for.gate.paused or waits_for.key.paused) then
  answer[5], answer[6] = answer[5] or false, answer[6] or false
  answer[7] = {waits_for.gate.name, waits_for.key.name, the_gates().pauses(waits_for.gate, waits_for.key)}
end
return answer
