-- sweep looks for what was lost; one caller a second gets an answer.
-- ARGV[1] how many of the tasks that wait to look at, in each of two sets; of all else at most SWEEP_TIDY
-- ARGV[2] '1' to look also when a sweep has just been   ARGV[3] what the keys of doorbells' hashes begin with; an id follows
-- ARGV[4] the key of the flag that says that the queue is paused   ARGV[5] the worker that sweeps
-- Returns false when another has just swept, else
-- {claims of dead workers as worker, hash, token, ...; dead workers without claims; tasks that have waited or been
-- overdue for too long as hash, delivery, since when in ms, ...; 1 if more may follow; 1 if there was no sweep before; 1 if nothing waits, and no
-- other worker can have died; 1 if the queue has gates}.
-- The sets are walked by a cursor each, so that no healthy head hides a lost entry.

local state = prefix .. 'sweep'
local last, resumed, stamped, max_ttl = unpack(redis.call('HMGET', state, 'tick', 'resumed', 'stamped', 'max_ttl'))
last, resumed = tonumber(last), tonumber(resumed)
if ARGV[2] ~= '1' and last and now >= last and now - last < SWEEP_EVERY then
  return false
end
if not last or not resumed or now < resumed or now - last > SWEEP_GAP then
  resumed = now -- nobody could beat while nobody could sweep: give everybody time to
end
redis.call('HSET', state, 'tick', now, 'resumed', resumed, 'by', ARGV[5])

local batch = tonumber(ARGV[1])
local tidy = math.min(batch, SWEEP_TIDY)
local more = 0

-- page returns the next entries of a set below a score. A walk ends where the set ended when it began: a set that grows
-- faster than it is walked would otherwise never be walked from its start again.
local function page(set, below, batch)
  local key, cursor, last_one = prefix .. set, 'cursor:' .. set, 'end:' .. set
  local from, to = unpack(redis.call('HMGET', state, cursor, last_one))
  from, to = tonumber(from) or 0, tonumber(to) or 0
  if from == 0 then
    to = redis.call('ZCOUNT', key, '-inf', below)
  end
  local found
  if below == '+inf' then
    found = redis.call('ZRANGE', key, from, from + batch - 1) -- a LIMIT would walk to its offset
  else
    found = redis.call('ZRANGEBYSCORE', key, '-inf', below, 'LIMIT', from, batch)
  end
  from = from + batch
  if from >= to or #found < batch then
    from = 0
  end
  redis.call('HSET', state, cursor, from, last_one, to)
  return found, from > 0
end

-- look returns the words of a task, and whether an index entry that they contradict may go: the record is gone, or tells its
-- status. What is damaged stays listed.
local function look(member)
  -- try: what is no record, whoever put it there, must not end every sweep of the queue.
  local state = try('HGET', prefix .. 't:' .. member, 'state')
  local words = words_of(state)
  return words, state == false or STATUSES[words[STATUS]]
end

-- weed walks a list from its end: it takes out the entries that are over, and returns from where the walk goes on, 0 when it is
-- through. passed is how many entries are between the walk and the end.
local function weed(list, passed, is_over)
  local found = redis.call('LRANGE', list, -passed - tidy, -passed - 1)
  local gone = 0
  for i, entry in ipairs(found) do
    if is_over(entry) then
      redis.call('LSET', list, i - #found - passed - 1, '')
      gone = gone + 1
    end
  end
  if gone > 0 then
    redis.call('LREM', list, -gone, '')
  end
  return #found < tidy and 0 or passed + tidy - gone
end

-- tidy_completions cuts the list of completions, and takes out what is no longer the last end of a complete task.
local function tidy_completions()
  local key, cursor = prefix .. 'completions', 'cursor:completions'
  redis.call('LTRIM', key, 0, COMPLETIONS - 1)
  local passed = tonumber(redis.call('HGET', state, cursor)) or 0
  redis.call('HSET', state, cursor, weed(key, passed, function(entry)
    local words, certain = look(string.sub(entry, -32))
    local ended = words[COMPLETED_AT]
    local last = words[STATUS] == 'complete' and (ended == string.sub(entry, 1, -33) or not tonumber(ended))
    return certain and not last
  end))
end

local orphans, idle, silent = {}, {}, {}

if now - resumed >= DEAD_AFTER then
  local dead = redis.call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', now - DEAD_AFTER - 1, 'LIMIT', 0, tidy)
  for _, worker in ipairs(dead) do
    local claims = redis.call('HGETALL', prefix .. 'claims:' .. worker)
    for i = 1, math.min(#claims, 2 * tidy), 2 do
      orphans[#orphans + 1] = worker
      orphans[#orphans + 1] = claims[i]
      orphans[#orphans + 1] = claims[i + 1]
    end
    if #claims == 0 then
      idle[#idle + 1] = worker
    end
  end
end

-- current returns what a member of a set is to be judged by, or nothing when it has expired or lives on elsewhere since.
local function current(set, member)
  local words, certain = look(member)
  if words[STATUS] == set then
    local ready = words[set == 'retrying' and NEXT_RETRY_AT or UPDATED_AT]
    return words[DELIVERY] ~= '' and words[DELIVERY] or '1', ready ~= '' and ready or words[CREATED_AT]
  elseif certain then
    redis.call('ZREM', prefix .. set, member)
  end
end

for _, set in ipairs({'pending', 'retrying'}) do
  local late = now - (set == 'pending' and PENDING_TOO_LONG or OVERDUE_TOO_LONG)
  local members, further = page(set, set == 'retrying' and late or '+inf', batch)
  more = further and 1 or more
  for _, member in ipairs(members) do
    local delivery, ready = current(set, member)
    if delivery and (set == 'retrying' or (tonumber(ready) or 0) < late) then
      silent[#silent + 1] = member
      silent[#silent + 1] = delivery
      silent[#silent + 1] = ready
    end
  end
end
tidy_completions()
if stamped then
  -- Stamps that are older than any result that they might count for.
  drop_stamps(redis.call('ZCOUNT', prefix .. 'stamps', '-inf', now - math.max(tonumber(max_ttl) or 0, STAMPS_KEPT)))
  if redis.call('ZCARD', prefix .. 'stamps') == 1 and redis.call('ZSCORE', prefix .. 'stamps', 'floor') then
    redis.call('HDEL', state, 'stamped')
  end
end
for _, set in ipairs({'failed', 'cancelled'}) do
  for _, member in ipairs((page(set, '+inf', tidy))) do
    current(set, member)
  end
end

-- tidy_aside walks one list of doorbells that are set aside, and then another. It takes out those whose task has ended or is gone,
-- with their hashes.
local function tidy_aside()
  local name, passed = unpack(redis.call('HMGET', state, 'aside', 'cursor:aside'))
  if not name or redis.call('SISMEMBER', prefix .. 'aside', name) == 0 then
    name, passed = redis.call('SRANDMEMBER', prefix .. 'aside'), 0
  end
  passed = weed(prefix .. 'aside:' .. name, tonumber(passed) or 0, function(id)
    local words, certain = look(string.match(id, ':(%x+)[^:]*$') or '')
    local over = certain and not IN_FLIGHT[words[STATUS]]
    if over then
      redis.call('DEL', ARGV[3] .. id)
    end
    return over
  end)
  if passed == 0 then
    redis.call('HDEL', state, 'aside', 'cursor:aside')
  else
    redis.call('HSET', state, 'aside', name, 'cursor:aside', passed)
  end
end

-- end_pauses ends the pauses whose time is over, and drops the note of a pause of the queue that somebody else has ended.
local function end_pauses()
  local all, ended = redis.call('HGETALL', prefix .. 'paused'), false
  for i = 1, #all, 2 do
    local note = note_in(all[i + 1])
    local over = note and is_over(note)
    if all[i] == 'queue' then
      local current = note and note.flag == (try('GET', ARGV[4]) or nil)
      if current and over then
        redis.call('DEL', ARGV[4])
      end
      over = over or not current
    end
    if over then
      redis.call('HDEL', prefix .. 'paused', all[i])
      ended = true
    end
  end
  if ended then
    tell_of_pauses()
  end
end

local more_keys = redis.call('EXISTS', prefix .. 'aside', prefix .. 'paused')
if more_keys > 0 then
  end_pauses()
end
if more_keys > 0 and redis.call('EXISTS', prefix .. 'aside') == 1 then
  for _, name in ipairs(redis.call('SRANDMEMBER', prefix .. 'aside', WAKE_ASIDE)) do
    if redis.call('EXISTS', prefix .. 'aside:' .. name) == 0 then
      redis.call('SREM', prefix .. 'aside', name)
    else
      pcall(wake_for, name, 1) -- who may not publish sweeps all the same
    end
  end
  if redis.call('EXISTS', prefix .. 'aside') == 1 then
    tidy_aside()
  end
end
local has_gates = redis.call('EXISTS', prefix .. 'gates')
local quiet = has_gates == 0 and redis.call('ZCARD', prefix .. 'pending') == 0 and redis.call('ZCARD', prefix .. 'retrying') == 0
  and redis.call('ZCARD', prefix .. 'workers') <= 1
return {orphans, idle, silent, more, last and 0 or 1, quiet and 1 or 0, has_gates}
