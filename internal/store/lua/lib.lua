-- What the scripts share. A script gets of it the definitions that it uses (assemble.go). Every script gets
--   KEYS[1]  the queue's key prefix, refq:{queue}:
--   KEYS[2]  the task's record, <prefix>t:<hash>; absent in scripts about the whole queue
-- All keys of a queue share its hash tag, so a script may touch any of them.
--
-- A script about a task reads the record once, changes it in memory, and writes what has changed once, by save. Names in
-- capitals are constants from Go: the statuses that this script may leave (FROM), limits, and places. The words of the
-- field state are in task, so that task[CREATED_AT] is created_at, as text, empty if there is none. All other fields that
-- the script reads are in stored, so that stored[NOTE] is the field note, as text, or false.

local prefix, record = KEYS[1], KEYS[2]

local hash = string.sub(record, -32)

local clock = redis.call('TIME')

local now_text = string.format('%s%03d', clock[1], math.floor(clock[2] / 1000))

local now = tonumber(now_text)

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

-- stored has the values of the fields that the script reads; it is nil when the record's key holds no hash.
local stored = try('HMGET', record, FIELDS)

-- task has the words of state, none when there is no record or its state has another form.
local task = {string.match(stored and stored[STATE] or '', STATE_FORM)}

-- words are those of any state, whether or not it is sound.
local function words_of(state)
  return {string.match(state or '', WORDS_FORM)}
end

-- changes are what save writes besides state, by field: its new value, or false for a field that goes.
local changes, changed = {}, false

-- put changes a word of task.
local function put(place, value)
  if type(value) == 'number' then
    value = whole_text(value)
  end
  task[place] = value
  changed = true
end

-- clear empties words of task.
local function clear(...)
  for _, place in ipairs({...}) do
    task[place] = ''
  end
  changed = true
end

-- set_field changes a field.
local function set_field(place, name, value)
  stored[place] = value
  changes[name] = value
  changed = true
end

-- drop_field removes a field.
local function drop_field(place, name)
  if stored[place] then
    set_field(place, name, false)
  end
end

-- save writes what has changed. It comes after what may fail because a key is not ours, so that nothing is half done.
local function save()
  if not changed then
    return
  end
  stored[STATE] = table.concat(task, ',')
  local new, gone = {'state', stored[STATE]}, {}
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
  redis.call('HSET', record, unpack(new))
end

-- number is a word of task as a number; what is not written has the default.
local function number(place, default)
  return tonumber(task[place]) or default
end

-- public returns the record as readers get it.
local function public()
  return {stored[STATE], stored[POLICY], stored[LAST_ERROR], stored[NOTE], stored[PROGRESS], now_text}
end

-- newer is the version of a record that only newer code can read, else nothing.
local function newer()
  if task[V] == '' then
    return nil
  end
  local v = string.match(stored[STATE] or '', '^(%d+),')
  return v and #v <= MOST_DIGITS and tonumber(v) > RECORD_VERSION and v
end

local function damaged_by(text)
  return redis.error_reply('DAMAGED ' .. text)
end

-- complaint finds what is wrong with the words of a packed field. kinds has a letter for each: w for a whole number, d for one
-- with a fraction, s for a status, n for a text that is needed, t for any other.
local function complaint(packed, names, kinds)
  local function not_a(kind, name, text)
    text = string.gsub(string.sub(text, 1, 40), '[^ -~]', '?')
    return damaged_by(name .. ' is "' .. text .. '", not ' .. kind)
  end
  local n = 0
  for word in string.gmatch(packed .. ',', '([^,]*),') do
    n = n + 1
    local kind = string.sub(kinds, n, n)
    if word == '' then
      if kind == 's' or kind == 'n' then return damaged_by(names[n] .. ' is missing') end
    elseif kind == 'w' then
      if #word > MOST_DIGITS or not string.find(word, '^%d+$') then return not_a('a whole number', names[n], word) end
    elseif kind == 'd' then
      if not string.find(word, '^%d+%.?%d*$') or tonumber(word) == math.huge then return not_a('a number', names[n], word) end
    elseif kind == 's' and not STATUSES[word] then
      return not_a('a status', names[n], word)
    end
  end
  if n < #names then
    return damaged_by(names[n + 1] .. ' is missing')
  end
end

-- lacking is the name of a word or field that a record with this status needs and has not, false if there is none; nil
-- when it is no status.
local function lacking(status)
  LACKING
end

-- What the policy says, once damage has found the record to be sound.
local max_retries, ttl, failure_ttl = nil, nil, nil

-- damage answers the error that the record is damaged; nil when it is sound, newer, or not there. Nothing is written to such
-- a record until a person deletes it.
local function damage()
  if not stored then
    return damaged_by('its key holds no hash')
  elseif not stored[STATE] then
    return redis.call('EXISTS', record) == 1 and damaged_by('state is missing') or nil
  end
  local version = newer()
  if version then
    return not task[STATUS] and redis.error_reply('NEWER ' .. version) or nil
  end
  local sound, _, factor, jitter
  sound, _, max_retries, ttl, failure_ttl, factor, jitter = string.find(stored[POLICY] or '', POLICY_FORM)
  sound = sound and string.byte(factor) ~= DOT and string.byte(jitter) ~= DOT
    and (#stored[POLICY] <= MOST_DIGITS or not string.find(stored[POLICY], TOO_MANY_DIGITS))
  local lacks = lacking(task[STATUS])
  for place = V, EVENT_N do
    sound = sound and #(task[place] or '') <= MOST_DIGITS
  end
  if not sound or lacks == nil then
    local found = complaint(stored[STATE], STATE_WORDS, STATE_KINDS) or not stored[POLICY] and damaged_by('policy is missing')
      or complaint(stored[POLICY], POLICY_WORDS, POLICY_KINDS)
    if found then
      return found
    end
  end
  return lacks and damaged_by(lacks .. ' is missing') or nil
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
    cycle = number(CYCLE, 1), attempt = number(ATTEMPT), started_at = number(STARTED_AT), worker = task[WORKER],
    timestamp = now, cause = cause, error = error, delay = delay,
  })
end

-- last_token is what move leaves behind of the attempt that has ended, for its resend: a status other than processing has
-- no token of its own.
local last_token = ''

-- forget_completion comes before a complete task is anything else. What the list of completions says of it stays there, and
-- readers know it by its time; but an end in this very millisecond would say the same once more.
local function forget_completion()
  if task[COMPLETED_AT] == now_text then
    redis.call('LREM', prefix .. 'completions', 1, now_text .. hash)
  end
end

-- move takes the task to another status, and from the set, or the claims, of the one that it has to those of the other. score
-- is its place in a set, or before its hash in the list of completions; a claim is the caller's to make.
local function move(status, score)
  local left = task[STATUS]
  if status == 'complete' then
    redis.call('LPUSH', prefix .. 'completions', score .. hash)
  elseif status ~= 'processing' then
    redis.call('ZADD', prefix .. status, score, hash)
  end
  if left == 'processing' then
    local claims = prefix .. 'claims:' .. task[WORKER]
    if redis.call('HGET', claims, hash) == task[TOKEN] then
      redis.call('HDEL', claims, hash)
    end
    put(WORKER, '')
  elseif left == 'complete' then
    forget_completion()
  elseif left ~= '' then
    redis.call('ZREM', prefix .. left, hash)
  end
  put(TOKEN, last_token)
  put(STATUS, status)
end

-- wait_for_worker makes the task pending.
local function wait_for_worker()
  move('pending', task[CREATED_AT])
  put(UPDATED_AT, now_text)
end

-- new_delivery numbers the next doorbell. Numbers never go back while the record lives.
local function new_delivery()
  put(DELIVERY, number(DELIVERY, 1) + 1)
end

-- tell publishes the end of the task to those who wait for it: "<ref_id> <cycle> <status>" and, behind a line feed,
-- unless the result is long, FORMAT, the record, the result and its encoding; each value as its length, a colon and its bytes, or "-".
local function tell(inboxes, result, encoding)
  local words = {string.match(prefix, '{(.*)}') .. ':' .. hash .. ' ' .. number(CYCLE, 1) .. ' ' .. task[STATUS] .. '\n'}
  if not result or #result <= PUSH_MOST then
    local values = public()
    words[2], values[#values + 1], values[#values + 2] = FORMAT, result or false, encoding or false
    for place, value in ipairs(values) do
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
  local waiters, life = task[WAITERS], nil
  move(status, now_text)
  clear(WAITERS, UPDATED_AT, NEXT_RETRY_AT)
  put(COMPLETED_AT, now_text)
  drop_field(NOTE, 'note')
  if status == 'complete' then
    drop_field(PROGRESS, 'progress')
    life = tonumber(ttl) or DEFAULT_TTL
  else
    life = tonumber(failure_ttl) or DEFAULT_FAILURE_TTL
  end
  changes.result, changes.result_encoding = result or false, encoding or nil
  if not encoding and stored[RESULT_ENCODING] then
    changes.result_encoding = false
  end
  save()
  redis.call('PEXPIRE', record, life)
  if waiters ~= '' then
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
  clear(COMPLETED_AT, STARTED_AT, TOKEN)
  drop_field(PROGRESS, 'progress')
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
  elseif waiters == '' then
    put(WAITERS, inbox)
    return
  end
  local _, count = string.gsub(waiters, '[^,]+', '')
  if count < MOST_WAITERS and not string.find(',' .. waiters .. ',', ',' .. inbox .. ',', 1, true) then
    put(WAITERS, waiters .. ',' .. inbox)
  end
end

-- halve is the first rank from low on, and below high, that passes, or high. All ranks behind one that passes do, too.
local function halve(low, high, passes)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if passes(middle) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- rank_before is how many entries of the list of completions come before the first one that is earlier than a time. The list
-- is in the order of time, unless Redis's clock was set back: then what ended around that moment may be passed over or met twice.
local function rank_before(time)
  local key = prefix .. 'completions'
  return halve(0, redis.call('LLEN', key), function(rank)
    return (tonumber(string.sub(redis.call('LINDEX', key, rank), 1, -33)) or 0) < time
  end)
end
