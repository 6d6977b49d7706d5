-- dequeue_and_claim takes a doorbell out of asynq's list, or out of one of those that were set aside, and claims the task that
-- it is about in the same step, if that is a case of claim's fast path. A doorbell in asynq's list of a task that this worker
-- cannot run is set aside, and the next is taken.
-- KEYS[1] the queue's prefix, then those of the dequeue, the first of which is the list   ARGV[1] token   ARGV[2] worker
-- ARGV[3] the name under which doorbells of that list were set aside; empty for asynq's list
-- ARGV[4] functions that are paused, each with its version, all between commas; empty if there are none: the worker knows them
-- not   Then those of the dequeue
-- Of queue: dequeue returns false, or {what it took, the ref_id that it names or false, asynq's id of it or false}.
-- set_aside(id, list) returns how many doorbells stood in the list before, or false when this one is to be put off. drop_gone
-- drops from the end of the list those that asynq does not know any more, and returns true when there may be more.
-- Returns false when nothing was taken, else {what the dequeue took, its ref_id, what claim returns, who was let in}; false for
-- the claim when one is to follow. {false} means that there may be more: ask again.

FAST_CLAIM

-- lacks is the name of what this worker lacks to run a task that may be run now; nothing if it lacks nothing.
local function lacks(stored)
  local state = stored[STATE] or ''
  if string.sub(state, 1, 9) ~= ',pending,' then
    local v = string.match(state, '^(%d+),')
    local words = {string.match(state, STATE_FORM)}
    local status = words[STATUS]
    if status and not FROM[status] then
      return nil
    elseif v and #v <= MAX_DIGITS and tonumber(v) > RECORD_VERSION then
      return 'v' .. v
    elseif not status then
      return nil
    elseif status == 'retrying' then
      local clock = redis.call('TIME')
      if (tonumber(words[NEXT_RETRY_AT]) or 0) > tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000 then
        return nil
      end
    end
  end
  local name, version = string.match(stored[POLICY] or '', '^([^,]+),(%d*),')
  if name then
    name = name .. '@' .. (version == '' and DEFAULT_VERSION or version)
    local missing = not string.find(KNOWN, ',' .. name .. ',', 1, true)
    return (missing or ARGV[4] ~= '' and string.find(ARGV[4], ',' .. name .. ',', 1, true)) and name
  end
end

local prefix, from = KEYS[1], ARGV[3]
local answer, asides = {false}, nil
for _ = 1, MAX_ASIDE do
  if from ~= '' and drop_gone() then
    break
  end
  local dequeued = dequeue()
  if not dequeued then
    answer = false
    break
  end
  local message, ref, id = unpack(dequeued)
  local queue, hash = string.match(ref or '', '^(.*):(%x+)$')
  if not hash or #hash ~= 32 or 'refq:{' .. queue .. '}:' ~= prefix then
    answer = {message, false, false}
    break
  end
  local record = prefix .. 't:' .. hash
  local stored = redis.pcall('HMGET', record, FIELDS)
  local name = id and lacks(stored)
  if not name then
    -- pcall: the doorbell is taken, and an error would keep it from whoever is to answer it.
    local ran, claim = pcall(fast, {prefix, record}, ARGV, nil, stored)
    answer = {message, ref, ran and claim}
    break
  end
  -- What was set aside already is put off: two workers, each of which lacks something else, would hand it to and fro.
  local before = from == '' and set_aside(id, prefix .. 'aside:' .. name)
  if not before then
    answer = {message, ref, {'later', NEWER_LATER}}
    break
  end
  asides = asides or {}
  if not asides[name] then
    asides[name] = {count = 0, before = before}
    redis.call('SADD', prefix .. 'aside', name)
  end
  asides[name].count = asides[name].count + 1
  if string.byte(stored[STATE]) ~= COMMA then -- it has a version, and so it may have a turn
    asides[name][#asides[name] + 1] = hash
  end
end
if from == '' and not asides then
  return answer
end

WITH_LIBRARY

if from ~= '' and redis.call('EXISTS', prefix .. 'aside:' .. from) == 0 then
  redis.call('SREM', prefix .. 'aside', from)
end
for name, aside in pairs(asides or {}) do
  -- pcall: a wake-up that cannot be sent must not cost the doorbell that was taken.
  pcall(wake_for, name, aside.count, aside.before == 0)
  -- A call that nobody can run must not shut its gate.
  if aside[1] and redis.call('SCARD', prefix .. 'knows:' .. name) == 0 then
    for _, hash in ipairs(aside) do
      local turn = turn_in(redis.call('HGET', prefix .. 't:' .. hash, 'turn'))
      -- pcall: as above; the sweep takes what is left.
      if turn then pcall(the_gates().give_back, turn.gate, turn.key, hash) end
    end
  end
end
local let_in = all_gates and all_gates.written() or {}
if #let_in > 0 then
  answer = answer or {false, false, false}
  answer[4] = let_in
end
return answer
