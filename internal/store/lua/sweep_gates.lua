-- sweep_gates looks after the gates of a queue: it lets in what time has freed and what was forgotten, and mends what the records
-- contradict. Who has swept sends it.
-- Returns {who was let in; in how many ms time frees the next key, -1 if none waits for that; 1 if more may be let in at once}

local state = prefix .. 'sweep'
local tick, slots_at = unpack(redis.call('HMGET', state, 'gates_tick', 'slots_at'))
tick, slots_at = tonumber(tick), tonumber(slots_at)

-- slots_of_all are the slots of the living workers.
local function slots_of_all()
  local all = 0
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'workers', now - DEAD_AFTER, '+inf', 'LIMIT', 0, SLOTS_COUNTED)) do
    all = all + (tonumber((string.match(redis.call('GET', prefix .. 'worker:' .. worker) or '', '"slots":(%d+)'))) or 0)
  end
  return all
end

redis.call('HSET', state, 'gates_tick', now_text)
if not slots_at or now < slots_at or now - slots_at >= COUNT_SLOTS_EVERY then
  redis.call('HSET', state, 'slots', whole_text(slots_of_all()), 'slots_at', now_text)
end
-- A tick that is ahead of now: the clock was set back.
the_gates().try_due(tick and now < tick and '+inf' or now)

-- walk returns the next members of a sorted set.
local function walk(key, cursor)
  local from = tonumber(redis.call('HGET', state, cursor)) or 0
  local found = redis.call('ZRANGE', key, from, from + SWEEP_TIDY - 1)
  redis.call('HSET', state, cursor, #found < SWEEP_TIDY and 0 or from + SWEEP_TIDY)
  return found
end

-- look returns the words of a task, its turn as text, its policy, and whether it is gone; nothing if its key is no record's.
local function look(member)
  local values = try('HMGET', prefix .. 't:' .. member, 'state', 'turn', 'policy')
  if values then
    return words_of(values[1]), values[2], values[3], not values[1]
  end
end

local function is_known(policy)
  local name = function_in(policy)
  return name and redis.call('SCARD', prefix .. 'knows:' .. name) > 0
end

-- judge_waiting mends the place of a task that is listed as waiting.
local function judge_waiting(member)
  local words, text, policy, gone = look(member)
  local turn = words and turn_in(text)
  if gone or words and STATUSES[words[STATUS]] and words[STATUS] ~= 'waiting' then
    redis.call('ZREM', prefix .. 'waiting', member)
  elseif not words or words[STATUS] ~= 'waiting' or not policy or not the_gates().may_be_let_in(words) then
    return -- it is damaged, and stays listed
  elseif not turn then
    the_gates().let_go(member, words, policy)
  elseif not turn.gate.declared and is_known(policy) then
    the_gates().step_out(turn.gate, turn.key, turn.share, member)
    the_gates().let_go(member, words, policy)
  else
    the_gates().line_up(turn.gate, turn.key, turn.share, member, turn.since)
  end
end

-- judge_permit takes a permit back that nothing stands behind, or that nobody can use.
local function judge_permit(gate, permit)
  local member, key = string.sub(permit, 1, 32), string.sub(permit, 33)
  local words, text, policy, gone = look(member)
  if not words then
    return
  end
  local turn = turn_in(text)
  local its = turn and turn.gate == gate and turn.key.name == key
  local over = gone or STATUSES[words[STATUS]] and words[STATUS] ~= 'pending' and words[STATUS] ~= 'processing'
  if over or not words[STATUS] or not its or words[STATUS] == 'pending' and not is_known(policy) then
    the_gates().give_back(gate, the_gates().key_of(gate, key), member)
  end
end

for _, member in ipairs(walk(prefix .. 'waiting', 'cursor:waiting')) do
  judge_waiting(member)
end

local more = 0
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'gates')) do
  if redis.call('EXISTS', prefix .. 'gate:' .. name .. ':ready') == 1 and not the_gates().admit(the_gates().gate_of(name), SWEEP_TIDY) then
    more = 1
  end
end

-- drop_over drops from a gate what an operator has set for a time, and a pause, that are over.
local function drop_over(gate)
  local set_until, paused_until = unpack(redis.call('HMGET', gate.at, 'set_until', 'paused_until'))
  if set_until and tonumber(set_until) <= now then
    redis.call('HDEL', gate.at, 'set', 'set_until', 'set_by', 'set_at')
  end
  if paused_until and paused_until ~= '' and not gate.paused then
    redis.call('HDEL', gate.at, 'paused_until')
  end
end

-- One gate after the other is gone through.
local name = redis.call('HGET', state, 'gate')
if not name or redis.call('SISMEMBER', prefix .. 'gates', name) == 0 then
  name = redis.call('SRANDMEMBER', prefix .. 'gates')
  redis.call('HDEL', state, 'cursor:held', 'cursor:waits')
end
if name then
  local gate = the_gates().gate_of(name)
  for _, permit in ipairs(walk(gate.at .. ':held', 'cursor:held')) do
    judge_permit(gate, permit)
  end
  drop_over(gate)
  local from = the_gates().place_some(gate, tonumber(redis.call('HGET', state, 'cursor:waits')) or 0, SWEEP_TIDY)
  the_gates().admit(gate, SWEEP_TIDY)
  redis.call('HSET', state, 'gate', name, 'cursor:waits', from)
  if from == 0 and redis.call('HGET', state, 'cursor:held') == '0' then
    redis.call('HDEL', state, 'gate')
  end
  local seen = tonumber(redis.call('HGET', gate.at, 'seen')) or 0
  if now - seen > GATE_KEPT and not gate.paused and redis.call('EXISTS', gate.at .. ':held', gate.at .. ':waits') == 0 then
    redis.call('DEL', gate.at)
    redis.call('HDEL', prefix .. 'paused', 'g:' .. name)
    gate.dirty = false
    redis.call('SREM', prefix .. 'gates', name)
  end
end
return {the_gates().written(), the_gates().next_due(), more}
