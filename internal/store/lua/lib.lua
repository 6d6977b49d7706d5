-- What the scripts share. Every script gets
--   KEYS[1]  the queue's key prefix, refq:{queue}:
--   KEYS[2]  the task's record, <prefix>t:<hash>; absent in scripts about the whole queue
-- All keys of a queue share its hash tag, so a script may touch any of them.
-- Prepended by Go: FROM (statuses that this script may leave), STATUS (all of them), FIELDS, POLICY, DEFAULT, and the limits in capitals.

local prefix, record = KEYS[1], KEYS[2]
local hash = record and string.sub(record, -32)

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function get(...)
  return unpack(redis.call('HMGET', record, ...))
end

local function number(field, default)
  return tonumber(redis.call('HGET', record, field) or default)
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

-- whole reports whether a field's text is a whole number of the size that is computed with here.
local function whole(text)
  return string.find(text, '^%d+$') and #text <= MOST_DIGITS
end

-- newer reports whether the record is one that only newer code can read.
local function newer()
  local v = get('v')
  return v and whole(v) and tonumber(v) > RECORD_VERSION
end

-- damage answers the error that a record is damaged; nil when it is sound, newer, or not there. A script that met it half
-- way would leave half of a transition behind, so nothing is written to such a record until a person deletes it.
local function damage()
  local values = try('HMGET', record, unpack(CHECKED))
  if not values then
    return redis.error_reply('DAMAGED its key holds no hash')
  end
  local field = {}
  for i, name in ipairs(CHECKED) do
    field[name] = values[i]
  end
  if field.v and whole(field.v) and tonumber(field.v) > RECORD_VERSION then
    return nil
  end
  local function not_a(kind, name)
    local text = string.gsub(string.sub(field[name], 1, 40), '[^ -~]', '?')
    return redis.error_reply('DAMAGED ' .. name .. ' is "' .. text .. '", not ' .. kind)
  end

  if not field.status then
    return redis.call('EXISTS', record) == 1 and redis.error_reply('DAMAGED status is missing') or nil
  elseif not NEEDED[field.status] then
    return not_a('a status', 'status')
  end
  for _, name in ipairs(WHOLE) do
    if field[name] and not whole(field[name]) then
      return not_a('a whole number', name)
    end
  end
  for _, name in ipairs(DECIMAL) do
    local v = field[name]
    if v and not (string.find(v, '^%d+%.?%d*$') and (tonumber(v) or 0) < math.huge) then
      return not_a('a number', name)
    end
  end
  for _, name in ipairs(NEEDED[field.status]) do
    if not field[name] and redis.call('HEXISTS', record, name) == 0 then
      return redis.error_reply('DAMAGED ' .. name .. ' is missing')
    end
  end
end

-- read returns the record without arguments, result and history: Redis's time, then the values of FIELDS.
local function read()
  local values = redis.call('HMGET', record, unpack(FIELDS))
  table.insert(values, 1, tostring(now))
  return values
end

-- append adds an entry to one of the two histories and drops the one that is HISTORY entries older.
local function append(counter, name, entry)
  local n = redis.call('HINCRBY', record, counter, 1)
  redis.call('HSET', record, name .. n, cjson.encode(entry))
  if n > HISTORY then
    redis.call('HDEL', record, name .. (n - HISTORY))
  end
end

local function event(kind, by)
  append('event_n', 'event:', {at = now, kind = kind, by = by})
end

-- attempt_ended adds the attempt that runs to the history. What is empty is left out.
local function attempt_ended(cause, error, delay)
  local cycle, attempt, started, worker = get('cycle', 'attempt', 'started_at', 'worker')
  append('hist_n', 'attempt:', {
    cycle = tonumber(cycle or 1), attempt = tonumber(attempt), started_at = tonumber(started), worker = worker,
    timestamp = now, cause = cause, error = error, delay = delay,
  })
end

-- leave takes the task out of the set, or the claims, of its status.
local function leave(status)
  if status ~= 'processing' then
    redis.call('ZREM', prefix .. status, hash)
    return
  end
  local token, worker = get('token', 'worker')
  local claims = prefix .. 'claims:' .. worker
  if redis.call('HGET', claims, hash) == token then
    redis.call('HDEL', claims, hash)
  end
  redis.call('HDEL', record, 'token', 'worker')
end

-- wait_for_worker makes the task pending.
local function wait_for_worker()
  redis.call('HSET', record, 'status', 'pending', 'updated_at', now)
  redis.call('ZADD', prefix .. 'pending', redis.call('HGET', record, 'created_at'), hash)
end

-- new_delivery numbers the next doorbell. Numbers never go back while the record lives.
local function new_delivery()
  redis.call('HSET', record, 'delivery', number('delivery', 1) + 1)
end

-- tell publishes the end of the task to those who wait for it: "<ref_id> <cycle> <status>" and, behind a line feed, the
-- record, the result if it is not long, and its encoding; each value as its length, a colon and its bytes, or "-".
local function tell(inboxes, cycle, status)
  local values = read()
  local count = #FIELDS + 1
  local result, encoding = get('result', 'result_encoding')
  local words = {string.match(prefix, '{(.*)}') .. ':' .. hash .. ' ' .. cycle .. ' ' .. status .. '\n'}
  if not result or #result <= PUSH_MOST then
    values[count + 1], values[count + 2] = result, encoding
    for i = 1, count + 2 do
      words[i + 1] = values[i] and #values[i] .. ':' .. values[i] or '-'
    end
  end
  local message = table.concat(words)
  for inbox in string.gmatch(inboxes, '[^,]+') do
    redis.call('PUBLISH', inbox, message)
  end
end

-- end_task makes the task final, as a whole: record, index, expiry, waiters.
local function end_task(status)
  local waiters, cycle = get('waiters', 'cycle')
  local ttl_field = status == 'complete' and 'ttl' or 'failure_ttl'
  redis.call('HDEL', record, 'waiters', 'updated_at', 'next_retry_at', 'note')
  if status == 'complete' then
    redis.call('HDEL', record, 'progress')
  else
    redis.call('HDEL', record, 'result', 'result_encoding')
  end
  redis.call('HSET', record, 'status', status, 'completed_at', now)
  redis.call('PEXPIRE', record, number(ttl_field, DEFAULT[ttl_field]))
  redis.call('ZADD', prefix .. status, now, hash)
  if status == 'complete' then
    redis.call('ZREMRANGEBYRANK', prefix .. 'complete', 0, -1 - COMPLETIONS)
  end
  if waiters then
    tell(waiters, cycle or 1, status)
  end
end

-- revive makes a final task one that runs again.
local function revive(status)
  leave(status)
  redis.call('HDEL', record, 'completed_at', 'started_at', 'progress', 'last_token')
  redis.call('PERSIST', record)
  new_delivery()
  wait_for_worker()
end

-- fresh_budget starts a new cycle with everything to spend.
local function fresh_budget()
  redis.call('HSET', record, 'cycle', number('cycle', 1) + 1)
  redis.call('HDEL', record, 'attempt', 'retry_count', 'lost_count')
end

-- add_waiter notes who is to be told of the end of a task in flight.
local function add_waiter(inbox)
  local status, waiters = get('status', 'waiters')
  if inbox == '' or not status or status == 'complete' or status == 'failed' or status == 'cancelled' then
    return
  end
  waiters = waiters or ''
  local _, count = string.gsub(waiters, '[^,]+', '')
  if count < WAITERS and not string.find(',' .. waiters .. ',', ',' .. inbox .. ',', 1, true) then
    redis.call('HSET', record, 'waiters', waiters == '' and inbox or waiters .. ',' .. inbox)
  end
end
