-- What the scripts share. A script gets of it the definitions that it uses (assemble.go). Every script gets
--   KEYS[1]  the queue's key prefix, refq:{queue}:
--   KEYS[2]  the task's record, <prefix>t:<hash>; absent in scripts about the whole queue
-- All keys of a queue share its hash tag, so a script may touch any of them.
--
-- A script about a task reads the record once, into task, changes it there, and writes what has changed once, by save. Names
-- in capitals are constants from Go: the statuses that this script may leave (FROM), limits, and the places of the record's
-- fields in task, so that task[CREATED_AT] is the field created_at, as text, or false.

local prefix, record = KEYS[1], KEYS[2]

local hash = string.sub(record, -32)

local clock = redis.call('TIME')

local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- whole_text writes a whole number as Redis and Go do; Lua itself writes large ones otherwise.
local function whole_text(n)
  return string.format('%.0f', n)
end

-- try is redis.call where a key may hold something of another type: nil then. Any other error is not about the key, and
-- ends the script: whoever may not read a record must not take it for a damaged one.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  elseif not string.find(reply.err, 'WRONGTYPE', 1, true) then
    redis.call(...) -- raises it
  end
end

-- task has the values of FIELDS; it is nil when the record's key holds no hash.
local task = try('HMGET', record, unpack(FIELDS))

-- changes are what save writes, by field: its new value, or false for a field that goes.
local changes = {}

-- put changes a field of task.
local function put(place, value)
  if type(value) == 'number' then
    value = whole_text(value)
  end
  task[place] = value
  changes[FIELDS[place]] = value
end

-- clear removes fields of task.
local function clear(...)
  for _, place in ipairs({...}) do
    if task[place] then
      task[place] = false
      changes[FIELDS[place]] = false
    end
  end
end

-- save writes what has changed. It comes after what may fail because a key is not ours, so that nothing is half done.
local function save()
  local new, gone = {}, {}
  for field, value in pairs(changes) do
    if value then
      new[#new + 1] = field
      new[#new + 1] = value
    else
      gone[#gone + 1] = field
    end
  end
  if #gone > 0 then
    redis.call('HDEL', record, unpack(gone))
  end
  if #new > 0 then
    redis.call('HSET', record, unpack(new))
  end
end

local function number(place, default)
  return tonumber(task[place] or default)
end

-- public returns the record as readers get it: without private fields, with Redis's time behind it. task is used up.
local function public()
  task[PUBLIC + 1] = whole_text(now)
  task[PUBLIC + 2] = nil -- which ends a reply
  return task
end

-- whole reports whether a text is a whole number of the size that is computed with here.
local function whole(text)
  return #text <= MOST_DIGITS and string.find(text, '^%d+$')
end

local function decimal(text)
  return string.find(text, '^%d+%.?%d*$') and (tonumber(text) or 0) < math.huge
end

-- newer reports whether the record is one that only newer code can read.
local function newer()
  local v = task[V]
  return v and whole(v) and tonumber(v) > RECORD_VERSION
end

local function not_a(kind, place)
  local text = string.gsub(string.sub(task[place], 1, 40), '[^ -~]', '?')
  return redis.error_reply('DAMAGED ' .. FIELDS[place] .. ' is "' .. text .. '", not ' .. kind)
end

-- damage answers the error that the record is damaged; nil when it is sound, newer, or not there. Nothing is written to such
-- a record until a person deletes it.
local function damage()
  if not task then
    return redis.error_reply('DAMAGED its key holds no hash')
  elseif newer() then
    return nil
  elseif not task[STATUS] then
    return redis.call('EXISTS', record) == 1 and redis.error_reply('DAMAGED status is missing') or nil
  end
  local names = needed(task[STATUS])
  if not names then
    return not_a('a status', STATUS)
  end
  for place = 1, WHOLES + DECIMALS do
    local text = task[place]
    if not text then
    elseif place <= WHOLES then
      if not whole(text) then return not_a('a whole number', place) end
    elseif not decimal(text) then
      return not_a('a number', place)
    end
  end
  for _, field in ipairs(names) do
    if not task[field] and (type(field) == 'number' or redis.call('HEXISTS', record, field) == 0) then
      return redis.error_reply('DAMAGED ' .. (FIELDS[field] or field) .. ' is missing')
    end
  end
end

-- append adds an entry to one of the two histories and drops the one that is HISTORY entries older.
local function append(counter, name, entry)
  local n = number(counter, 0) + 1
  put(counter, n)
  changes[name .. n] = cjson.encode(entry)
  if n > HISTORY then
    changes[name .. (n - HISTORY)] = false
  end
end

local function event(kind, by)
  append(EVENT_N, 'event:', {at = now, kind = kind, by = by})
end

-- attempt_ended adds the attempt that runs to the history. What is empty is left out.
local function attempt_ended(cause, error, delay)
  append(HIST_N, 'attempt:', {
    cycle = number(CYCLE, 1), attempt = number(ATTEMPT), started_at = number(STARTED_AT), worker = task[WORKER] or nil,
    timestamp = now, cause = cause, error = error, delay = delay,
  })
end

-- move takes the task to another status, and from the set, or the claims, of the one that it has to those of the other. score
-- is its place in a set; a claim is the caller's to make.
local function move(status, score)
  local left = task[STATUS]
  if status ~= 'processing' then
    redis.call('ZADD', prefix .. status, score, hash)
  end
  if left == 'processing' then
    local claims = prefix .. 'claims:' .. task[WORKER]
    if redis.call('HGET', claims, hash) == task[TOKEN] then
      redis.call('HDEL', claims, hash)
    end
    clear(TOKEN, WORKER)
  elseif left then
    redis.call('ZREM', prefix .. left, hash)
  end
  put(STATUS, status)
end

-- wait_for_worker makes the task pending.
local function wait_for_worker()
  move('pending', task[CREATED_AT])
  put(UPDATED_AT, now)
end

-- new_delivery numbers the next doorbell. Numbers never go back while the record lives.
local function new_delivery()
  put(DELIVERY, number(DELIVERY, 1) + 1)
end

-- tell publishes the end of the task to those who wait for it: "<ref_id> <cycle> <status>" and, behind a line feed,
-- unless the result is long, FORMAT, the record, the result and its encoding; each value as its length, a colon and its bytes, or "-".
local function tell(inboxes, result, encoding)
  local words = {string.match(prefix, '{(.*)}') .. ':' .. hash .. ' ' .. (task[CYCLE] or 1) .. ' ' .. task[STATUS] .. '\n'}
  if not result or #result <= PUSH_MOST then
    local values = public()
    values[PUBLIC + 2], values[PUBLIC + 3] = result, encoding or false
    words[2] = FORMAT
    for place = 1, PUBLIC + 3 do
      local value = values[place]
      words[place + 2] = value and #value .. ':' .. value or '-'
    end
  end
  local message = table.concat(words)
  for inbox in string.gmatch(inboxes, '[^,]+') do
    redis.call('PUBLISH', inbox, message)
  end
end

-- end_task makes the task final, as a whole: record, index, expiry, waiters. It saves. The result goes with 'complete' alone.
local function end_task(status, result, encoding)
  local waiters = task[WAITERS]
  move(status, now)
  clear(WAITERS, UPDATED_AT, NEXT_RETRY_AT, NOTE)
  put(COMPLETED_AT, now)
  local life
  if status == 'complete' then
    redis.call('ZREMRANGEBYRANK', prefix .. 'complete', 0, -1 - COMPLETIONS)
    clear(PROGRESS)
    life = number(TTL, DEFAULT_TTL)
  else
    life = number(FAILURE_TTL, DEFAULT_FAILURE_TTL)
  end
  changes.result, changes.result_encoding = result or false, encoding or false
  save()
  redis.call('PEXPIRE', record, life)
  if waiters then
    tell(waiters, result, encoding)
  end
end

-- drop tells those who keep results in memory that this one is no longer the answer. Who may not publish may still go on:
-- what is kept soon expires by itself.
local function drop()
  redis.pcall('PUBLISH', prefix .. 'dropped', hash)
end

-- revive makes a final task one that runs again.
local function revive()
  if task[STATUS] == 'complete' then
    drop()
  end
  wait_for_worker()
  clear(COMPLETED_AT, STARTED_AT, PROGRESS, LAST_TOKEN)
  new_delivery()
  redis.call('PERSIST', record)
end

-- fresh_budget starts a new cycle with everything to spend.
local function fresh_budget()
  put(CYCLE, number(CYCLE, 1) + 1)
  clear(ATTEMPT, RETRY_COUNT, LOST_COUNT)
end

-- add_waiter notes who is to be told of the end of a task in flight. It does not save.
local function add_waiter(inbox)
  local status, waiters = task[STATUS], task[WAITERS]
  if inbox == '' or not status or status == 'complete' or status == 'failed' or status == 'cancelled' then
    return
  elseif not waiters then
    put(WAITERS, inbox)
    return
  end
  local _, count = string.gsub(waiters, '[^,]+', '')
  if count < MOST_WAITERS and not string.find(',' .. waiters .. ',', ',' .. inbox .. ',', 1, true) then
    put(WAITERS, waiters .. ',' .. inbox)
  end
end
