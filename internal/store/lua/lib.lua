-- The library of the scripts. assemble.go puts those of its definitions into a script that the script uses. In a script
-- with a fast path they stand at the line FULL_PATH, behind that path: they read the record, and must not run for a
-- plain call.
--
-- Keys of every script
--   KEYS[1]  prefix of the queue's keys, refq:{queue}:
--   KEYS[2]  record of the task, <prefix>t:<hash>; <prefix>- in scripts about the whole queue, which is never there
-- All keys of a queue share its hash tag, so a script may use any of them.
--
-- How a script changes a task
--   It reads the record once, changes it in memory, and writes once what has changed, by save.
--   stored  has the fields that the script names, by constant: stored[NOTE] is the field note as text, or false.
--   task    has the words of the field state, by constant: task[CREATED_AT] is the time as text, empty if there is none.
-- Names in capitals are constants from Go: the statuses that the script may leave (FROM), limits, and positions.

local prefix, record = KEYS[1], KEYS[2]

local hash = string.sub(record, -32)

local clock = redis.call('TIME')

local now_text = string.format('%s%03d', clock[1], math.floor(clock[2] / 1000))

local now = tonumber(now_text)

-- whole_text is a whole number as Redis and Go write it. Lua itself writes large numbers with an exponent.
local function whole_text(n)
  return string.format('%.0f', n)
end

-- try is redis.call for a key that may hold another type. The result is nil then. Any other error is not about the key
-- and ends the script: a record that may not be read must not pass for a damaged one.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  elseif not string.find(reply.err, 'WRONGTYPE', 1, true) then
    redis.call(...) -- raises it
  end
end

-- stored has the fields that the script reads. It is nil when the record's key holds no hash.
local stored = try('HMGET', record, FIELDS)

-- task has the words of the field state. It is empty when there is no record, or when the field has another form. A turn counts
-- only in a record whose version says that it is there.
local task = {string.match(stored and stored[STATE] or '', STATE_FORM)}
if stored and stored[TURN] and (tonumber(task[V]) or 1) < tonumber(V_TURN) then
  stored[TURN] = false
end

-- result_from has the words of the field of that name, by constant. They tell of the result that a refresh is to replace:
-- when the attempt began that made it, when it expires, and how the last refresh failed, empty while one runs. The table is
-- empty when there is no such field. It counts only in a record whose version says that it is there.
local result_from = {string.match(stored and stored[RESULT_FROM] or '', RESULT_FROM_FORM)}
if stored and stored[RESULT_FROM] and task[V] == '' then
  result_from, stored[RESULT_FROM] = {}, false
end

-- words_of splits a state, sound or not, into its words.
local function words_of(state)
  return {string.match(state or '', WORDS_FORM)}
end

-- changes are the fields that save writes besides state: by name the new value, or false for a field to be removed.
local changes, changed = {}, false

-- put changes a word of task.
local function put(place, value)
  if type(value) == 'number' then
    value = whole_text(value)
  end
  task[place] = value
  changed = true
end

-- clear empties some words of task.
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

-- newer is the version of the record if only newer code can read it, else nothing.
local function newer()
  if task[V] == '' then
    return nil
  end
  local v = string.match(stored[STATE] or '', '^(%d+),')
  return v and #v <= MAX_DIGITS and tonumber(v) > RECORD_VERSION and v
end

-- save writes what has changed, and with it the version that a reader must know for the fields that are there. A script
-- calls it after all commands that fail when a key is not ours, so that it leaves nothing half done.
local function save()
  if not changed then
    return
  end
  if not newer() then
    task[V] = result_from and NEEDED_V -- once the fields that do not count are gone
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

-- number is a word of task as a number, or the default if the word is empty.
local function number(place, default)
  return tonumber(task[place]) or default
end

-- last_attempt is the last entry of the history of attempts, false if there is none.
local function last_attempt()
  local n = number(HIST_N, 0)
  return n > 0 and redis.call('HGET', record, 'attempt:' .. n)
end

-- public returns the record as readers get it: behind a failed one, and one whose result is or was to be replaced, also
-- where that result comes from, and the last attempt.
local function public()
  local values = {stored[STATE], stored[POLICY], stored[LAST_ERROR], stored[NOTE], stored[PROGRESS], now_text}
  if task[STATUS] == 'failed' or result_from[AS_OF] then
    values[7], values[8] = stored[RESULT_FROM], last_attempt()
  end
  return values
end

local function damaged_by(text)
  return redis.error_reply('DAMAGED ' .. text)
end

-- problem is the error about the first word of a packed field that is wrong. kinds has a letter for each word: w for a
-- whole number, d for a number with a fraction, s for a status, n for a text that must be there, t for any other text.
local function problem(packed, names, kinds)
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
      if #word > MAX_DIGITS or not string.find(word, '^%d+$') then return not_a('a whole number', names[n], word) end
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

-- lacking is the name of a word or field that a record with this status needs and does not have. It is false if nothing
-- is missing, and nil if this is no status.
local function lacking(status)
  LACKING
end

-- These are the policy's numbers as text. damage sets them when the record is sound.
local max_retries, ttl, failure_ttl = nil, nil, nil

-- damage is the error that the record is damaged, or that only newer code can read it; nil when it is sound or not
-- there. No script writes to such a record. A person deletes it.
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
    and (#stored[POLICY] <= MAX_DIGITS or not string.find(stored[POLICY], TOO_MANY_DIGITS))
  if stored[RESULT_FROM] and not (result_from[REFRESH] and #result_from[AS_OF] <= MAX_DIGITS and #result_from[EXPIRES_AT] <= MAX_DIGITS) then
    return problem(stored[RESULT_FROM], RESULT_FROM_WORDS, RESULT_FROM_KINDS) or damaged_by('result_from has too many words')
  end
  local lacks = lacking(task[STATUS])
  for place = V, EVENT_N do
    sound = sound and #(task[place] or '') <= MAX_DIGITS
  end
  if not sound or lacks == nil then
    local found = problem(stored[STATE], STATE_WORDS, STATE_KINDS) or not stored[POLICY] and damaged_by('policy is missing')
      or problem(stored[POLICY], POLICY_WORDS, POLICY_KINDS)
    if found then
      return found
    end
  end
  return lacks and damaged_by(lacks .. ' is missing') or nil
end

-- append adds an entry to one of the two histories and removes the one that is HISTORY entries older.
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

-- attempt_ended adds the running attempt to the history, without what is empty.
local function attempt_ended(cause, error, delay, permanent, code, details)
  append(HIST_N, 'attempt:', {
    cycle = number(CYCLE, 1), attempt = number(ATTEMPT), started_at = number(STARTED_AT), worker = task[WORKER],
    timestamp = now, cause = cause, error = error, delay = delay, permanent = permanent or nil,
    code = code, details = details,
  })
end

-- last_token is the token of the attempt that has ended. move keeps it, so that a resend is recognised. Only a
-- processing task has a token of its own.
local last_token = ''

-- forget_completion is called before a complete task gets another status. Its entry in the list of completions stays,
-- because readers compare the entry's time. Only an entry of this very millisecond is removed: the next end could be
-- the same text.
local function forget_completion()
  if task[COMPLETED_AT] == now_text then
    redis.call('LREM', prefix .. 'completions', 1, now_text .. hash)
  end
end

-- move gives the task another status, and takes it from the set or the claims of the old one to the set of the new one.
-- score orders it there, or stands before its hash in the list of completions. The caller makes the claim of a
-- processing task.
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

-- take_back has the task wait as if its running attempt had not been: waits has it wait for a worker, or for its turn.
local function take_back(waits)
  waits()
  put(STARTED_AT, '')
  drop_field(PROGRESS, 'progress')
  local attempt = number(ATTEMPT) - 1
  put(ATTEMPT, attempt > 0 and attempt or '')
end

-- new_delivery gives the next doorbell a number of its own. Numbers never go back while the record lives (R13).
local function new_delivery()
  put(DELIVERY, number(DELIVERY, 1) + 1)
end

-- publish sends a message on a channel of the queue, and answers how many heard it, as far as this node says so. What Redis
-- may know or permit is no reason to refuse what is on record, so nothing is an error: something else is behind each
-- message.
local function publish(channel, message)
  local heard = redis.pcall('SPUBLISH', prefix .. channel, message)
  if type(heard) == 'table' and string.find(heard.err, 'nknown') then -- before Redis 7
    heard = redis.pcall('PUBLISH', prefix .. channel, message)
  end
  return type(heard) == 'number' and heard or 0
end

-- tell publishes the end of the task to inboxes: "<ref_id> <cycle> <status>" and a line feed. What may follow the waiters
-- need not read.
local function tell(inboxes, what_follows)
  local message = string.match(prefix, '{(.*)}') .. ':' .. hash .. ' ' .. number(CYCLE, 1) .. ' ' .. task[STATUS] .. '\n'
    .. (what_follows or '')
  for inbox in string.gmatch(inboxes, '[^,]+') do
    publish(string.gsub(inbox, '^refq:inbox:', 'in:'), message)
  end
end

-- whole_end is what follows in the message of an end whose result is not long: FORMAT, the record, the result, its
-- encoding, and what stands behind the record, each value as its length, a colon and its bytes, or as "-".
local function whole_end(result, encoding)
  if result and #result > MAX_PUSH then
    return ''
  end
  local values = public()
  table.insert(values, 7, result or false)
  table.insert(values, 8, encoding or false)
  for place = 1, #values do
    local value = values[place]
    values[place] = value and #value .. ':' .. value or '-'
  end
  return FORMAT .. table.concat(values)
end

-- close gives the task a final status, saves the record, and has it expire. It returns who waits for that.
local function close(status, life)
  local waiters = task[WAITERS]
  move(status, now_text)
  clear(WAITERS, UPDATED_AT, NEXT_RETRY_AT)
  put(COMPLETED_AT, now_text)
  drop_field(NOTE, 'note')
  if status == 'complete' then
    drop_field(PROGRESS, 'progress')
  end
  if status ~= 'failed' then
    drop_field(TURN, 'turn') -- only a failed task can be retried as it is
  end
  save()
  redis.call('PEXPIRE', record, life)
  return waiters
end

-- end_task ends the task. Only a complete one has a result.
local function end_task(status, result, encoding)
  changes.result, changes.result_encoding = result or false, encoding or nil
  if not encoding and stored[RESULT_ENCODING] then
    changes.result_encoding = false
  end
  drop_field(RESULT_FROM, 'result_from')
  local life = tonumber(failure_ttl) or DEFAULT_FAILURE_TTL
  if status == 'complete' then
    life = tonumber(ttl) or DEFAULT_TTL
  end
  local waiters = close(status, life)
  if waiters ~= '' then
    tell(waiters, whole_end(result, encoding))
  end
end

-- end_without_result ends a task that failed or was cancelled. One that was refreshed is complete again, with the result
-- that it had, as long as that would have lived: a refresh never costs a good value. Who waits is told to look.
local function end_without_result(status, kind, by)
  local expires = tonumber(result_from[EXPIRES_AT])
  if not expires or expires <= now or redis.call('HEXISTS', record, 'result') == 0 then
    end_task(status)
    return
  end
  set_field(RESULT_FROM, 'result_from', result_from[AS_OF] .. ',' .. result_from[EXPIRES_AT] .. ',' .. kind)
  event('refresh_failed', by)
  tell(close('complete', expires - now))
end

-- drop tells the local caches what is no longer an answer: the result of a task by its hash, or by '#' and the name of a
-- stamp those that it counts for. What a cache keeps soon expires by itself.
local function drop(what)
  publish('dropped', what)
end

-- newest_stamp is the newest of some stamps of the queue, joined by commas; -1 if there is none. The stamp named floor is
-- among them: it stands for all that were dropped, and so counts for every call.
local function newest_stamp(stamps)
  local names, newest = {'floor'}, -1
  for name in string.gmatch(stamps, '[^,]+') do
    names[#names + 1] = name
  end
  for _, stamp in ipairs(redis.call('ZMSCORE', prefix .. 'stamps', unpack(names))) do
    newest = math.max(newest, tonumber(stamp) or -1)
  end
  return newest
end

-- drop_stamps drops the oldest stamps of the queue: so many, or as many as are too many, but not more than DROP_STAMPS. The
-- stamp named floor becomes the newest of these: it counts for every call, so that too much is forgotten, never too little.
local function drop_stamps(n)
  local key = prefix .. 'stamps'
  n = math.min(math.max(n, redis.call('ZCARD', key) - MAX_STAMPS), DROP_STAMPS)
  if n <= 0 then
    return
  end
  local name, newest = unpack(redis.call('ZRANGE', key, n - 1, n - 1, 'WITHSCORES'))
  if n == 1 and name == 'floor' then
    return
  end
  redis.call('ZREMRANGEBYRANK', key, 0, n - 1)
  redis.call('ZADD', key, 'GT', newest, 'floor')
end

-- raise_max_ttl notes how long results of functions with tags are kept: so long are stamps.
local function raise_max_ttl(kept_for)
  if (tonumber(redis.call('HGET', prefix .. 'sweep', 'max_ttl')) or 0) < tonumber(kept_for) then
    redis.call('HSET', prefix .. 'sweep', 'max_ttl', kept_for)
  end
end

-- may_answer is whether a result that is there may be told: it is that of a complete task, or an old one that has not
-- expired.
local function may_answer()
  return task[STATUS] == 'complete' or (tonumber(result_from[EXPIRES_AT]) or 0) > now
end

-- revive begins a new life of a final task: waits has it wait for a worker, or for its turn.
local function revive(waits)
  if task[STATUS] == 'complete' then
    drop(hash)
  end
  waits()
  clear(COMPLETED_AT, STARTED_AT, TOKEN)
  drop_field(PROGRESS, 'progress')
  new_delivery()
  redis.call('PERSIST', record)
end

-- fresh_budget starts a new cycle, with all of its retries.
local function fresh_budget()
  put(CYCLE, number(CYCLE, 1) + 1)
  clear(ATTEMPT, RETRY_COUNT, LOST_COUNT)
end

-- add_waiter adds an inbox to those that are told of the end of a task in flight. It does not save.
local function add_waiter(inbox)
  local status, waiters = task[STATUS], task[WAITERS]
  if inbox == '' or not status or status == 'complete' or status == 'failed' or status == 'cancelled' then
    return
  elseif waiters == '' then
    put(WAITERS, inbox)
    return
  end
  local _, count = string.gsub(waiters, '[^,]+', '')
  if count < MAX_WAITERS and not string.find(',' .. waiters .. ',', ',' .. inbox .. ',', 1, true) then
    put(WAITERS, waiters .. ',' .. inbox)
  end
end

-- names_of are the names of what a worker knows, by what it says of itself: its functions, each with its version, and the
-- versions of records that it reads behind the first.
local function names_of(about)
  local names = {}
  for name in string.gmatch(string.match(about or '', '"functions":%[(.-)%]') or '', '"([^"]+)"') do
    names[#names + 1] = name
  end
  local reads = string.match(about or '', '"reads":(%d+)')
  for v = 2, tonumber(reads) or 1 do
    names[#names + 1] = 'v' .. v
  end
  return names
end

-- unready_in are the functions that a worker cannot run now, by name, by what it says of itself: each with why and until when. Nil if
-- there are none.
local function unready_in(about)
  if not string.find(about, '"not_ready":{', 1, true) then
    return nil
  end
  local sound, told = pcall(cjson.decode, about)
  return sound and told.not_ready or nil
end

-- lives is whether a worker has been heard of lately.
local function lives(worker)
  local beat = redis.call('ZSCORE', prefix .. 'workers', worker)
  return beat and now - tonumber(beat) <= DEAD_AFTER
end

-- knowing are the living workers that know a name. Members that are gone were left there by an older refq, which removed the worker.
local function knowing(name)
  local key, found = prefix .. 'knows:' .. name, {}
  for _, worker in ipairs(redis.call('SMEMBERS', key)) do
    if lives(worker) then
      found[#found + 1] = worker
    elseif redis.call('EXISTS', prefix .. 'worker:' .. worker) == 0 then
      redis.call('SREM', key, worker)
    end
  end
  return found
end

-- wake tells a worker about the queue, and answers whether it heard.
local function wake(worker, what)
  return publish('wake:' .. worker, string.match(prefix, '{(.*)}') .. ' ' .. what) > 0
end

-- wake_for wakes idle workers that know a name, for the doorbells that are set aside under it: so many, or as many as there
-- are. If none is idle it tells one that knows the name all the same if busy is true: that one looks when it has a slot.
-- It returns how many it told. One that does not listen, because it is gone, gives its turn to the next.
local function wake_for(name, most, busy)
  local idle = prefix .. 'idle'
  local told, unheard = 0, 0
  local function publish_to(worker)
    redis.call('SREM', idle, worker)
    if wake(worker, name) then
      told = told + 1
    else
      unheard = unheard + 1
    end
  end
  for _, worker in ipairs(redis.call('SINTER', idle, prefix .. 'knows:' .. name)) do
    if told < most and unheard < MAX_UNHEARD then
      publish_to(worker)
    end
  end
  for _, worker in ipairs(told == 0 and busy and knowing(name) or {}) do
    if told == 0 and unheard < MAX_UNHEARD then
      publish_to(worker)
    end
  end
  return told
end

-- function_in is a function with its version, as in what workers know, by the policy of a call; nothing if that does not tell.
local function function_in(policy)
  local name, version = string.match(policy or '', '^([^,]+),(%d*),')
  return name and name .. '@' .. (version == '' and DEFAULT_VERSION or version)
end

-- note_in is a note of who paused something, decoded; nothing if it is none.
local function note_in(text)
  local sound, note = pcall(cjson.decode, text or '')
  return sound and type(note) == 'table' and note or nil
end

-- is_over is whether the time of a pause is over, by its note.
local function is_over(note)
  local ends = tonumber(note['until'])
  return ends and ends <= now
end

-- queue_pause is the note of the pause of the queue; nothing if it is not paused. flag is the key that says that it is, and text
-- the note that is kept. That counts only with the value of the flag that it names: else somebody else has set the flag, and all
-- that is known is when.
local function queue_pause(flag, text)
  local set = flag ~= '' and try('GET', flag)
  if not set then
    return nil
  end
  local note = note_in(text)
  if not note or note.flag ~= set then
    return string.find(set, '^%d+$') and #set <= 11 and '{"at":' .. set .. '000}' or '{}'
  end
  return not is_over(note) and text or nil
end

-- pause_of tells what holds up calls of a function, which is given with its version: {'paused', 'queue' or 'function', the name of
-- the function as it was paused, the note}; nothing if neither is paused.
local function pause_of(name, flag)
  local all_versions = string.match(name, '^(.*)@%d+$') or name
  local notes = redis.call('HMGET', prefix .. 'paused', 'queue', 'f:' .. all_versions, 'f:' .. name)
  local whole = queue_pause(flag, notes[1])
  if whole then
    return {'paused', 'queue', '', whole}
  end
  for i, paused in ipairs({all_versions, name}) do
    local note = note_in(notes[i + 1])
    if note and not is_over(note) then
      return {'paused', 'function', paused, notes[i + 1]}
    end
  end
end

-- is_among is whether a function, given with its version, is paused by one of these fields.
local function is_among(fields, name)
  for _, field in ipairs(fields) do
    if field == 'f:' .. name or field == 'f:' .. (string.match(name, '^(.*)@%d+$') or '') then
      return true
    end
  end
  return false
end

-- tell_of_pauses has all living workers of the queue look at what is paused. Older ones take the message for a name that they do
-- not know. Heartbeats tell, too.
local function tell_of_pauses()
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'workers', now - DEAD_AFTER, '+inf')) do
    wake(worker, 'paused')
  end
end

-- surveyed are the different lists of functions that living workers tell that they can run, or why there are none: 'none' lives, or
-- 'unknown', because there are many workers, or one that has not told yet or tells in another way. cannot are the functions that
-- some of them know and cannot run now: each with why, and in how many ms the worker tries again that does so first.
local surveyed, cannot = nil, {}

-- without_unready is a list of functions without those that their worker cannot run now.
local function without_unready(list, unready, about, beat)
  local told, able = tonumber(string.match(about, '"now":(%d+)')) or 0, {}
  for name in string.gmatch(list, '"([^"]+)"') do
    local one = unready[name]
    if not one then
      able[#able + 1] = '"' .. name .. '"'
    else
      local again = math.max(0, (tonumber(one['until']) or 0) - told - math.max(0, now - beat))
      if not cannot[name] or again < cannot[name].again then
        cannot[name] = {why = one.why, again = again}
      end
    end
  end
  return '[' .. table.concat(able, ',') .. ']'
end

local function survey()
  local living = redis.call('ZRANGEBYSCORE', prefix .. 'workers', now - DEAD_AFTER, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOKED_AT + 1)
  if #living == 0 then
    return 'none'
  elseif #living > 2 * LOOKED_AT then
    return 'unknown'
  end
  local lists, met = {}, {}
  for i = 1, #living, 2 do
    local about = redis.call('GET', prefix .. 'worker:' .. living[i]) or ''
    local list = string.match(about, '"functions":(%[.-%])')
    local unready = list and unready_in(about)
    if unready then
      list = without_unready(list, unready, about, tonumber(living[i + 1]))
    end
    if not list then
      return 'unknown'
    elseif not met[list] then
      met[list] = true
      lists[#lists + 1] = list
    end
  end
  return lists
end

-- unserved tells that no living worker of the queue knows a name; nothing if one does, or if not all of them were looked at. It
-- is {'queue'} if there is none at all, and {'program', in how many ms one tries again, why} if those that know it cannot run it now.
-- Else it is {'function', how many functions they know, the first of these by name, ...}, of the first LISTS_NAMED lists that differ.
local function unserved(name)
  if #knowing(name) > 0 then
    return nil
  end
  surveyed = surveyed or survey()
  if surveyed == 'none' then
    return {'queue'}
  elseif surveyed == 'unknown' then
    return nil
  end
  for _, list in ipairs(surveyed) do
    if string.find(list, '"' .. name .. '"', 1, true) then
      return nil
    end
  end
  if cannot[name] then
    return {'program', string.format('%d', cannot[name].again), tostring(cannot[name].why)}
  end
  local known, functions = {}, {}
  for i = 1, math.min(#surveyed, LISTS_NAMED) do
    for one in string.gmatch(surveyed[i], '"([^"]+)"') do
      if not known[one] then
        known[one] = true
        functions[#functions + 1] = one
      end
    end
  end
  table.sort(functions)
  return {'function', tostring(#functions), unpack(functions, 1, NAMED)}
end

-- halve is the first rank from low on, and below high, that passes, or high if there is none. It halves the range each
-- time, so all ranks behind one that passes must pass, too.
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

-- precedes compares by bytes, as sorted sets do; Lua's < goes by the server's locale.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- rank_below is the rank, from the highest down, of the first entry of a sorted set below the last one seen; 0 if its
-- score is empty. Many may share that score: a search by halves.
local function rank_below(key, score, last)
  if score == '' then
    return 0
  end
  return halve(redis.call('ZCOUNT', key, '(' .. score, '+inf'), redis.call('ZCOUNT', key, score, '+inf'), function(rank)
    return precedes(redis.call('ZREVRANGE', key, rank, rank)[1], last)
  end)
end

-- rank_before is how many entries of the list of completions come before the first one that is earlier than a time. The
-- list has the order of time. If Redis's clock was set back, ends around that moment may be passed over or met twice.
local function rank_before(time)
  local key = prefix .. 'completions'
  return halve(0, redis.call('LLEN', key), function(rank)
    return (tonumber(string.sub(redis.call('LINDEX', key, rank), 1, -33)) or 0) < time
  end)
end
