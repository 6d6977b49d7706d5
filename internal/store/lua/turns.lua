-- Definitions for the turn of the script's own task, and for who looks at gates. They stand behind gates.lua, as they use it.

-- all_gates are the gates that a script has met; it is made when a task has a turn.
local all_gates = nil

local function the_gates()
  all_gates = all_gates or gates()
  return all_gates
end

-- turn_in is a turn, by the text of it: its gate and its key as the_gates knows them, and from when on it counts as made. It is
-- nothing if there is none.
local function turn_in(text)
  local name, key_name, share, ahead, made = string.match(text or '', TURN_FORM)
  if not name then
    return nil
  end
  local gate = the_gates().gate_of(name)
  return {gate = gate, key = the_gates().key_of(gate, key_name), share = share, since = made - ahead, made = made}
end

-- made_now is the text of a turn of a call that is made now.
local function made_now(text)
  return string.match(text, '^[^/]*/[^/]*/[^/]*/%d+') .. '/' .. now_text
end

-- may_start is whether a task that asks for its turn may start at once.
local function may_start(turn)
  return the_gates().may_start(turn.gate, turn.key)
end

-- begins gives the task a permit.
local function begins(turn)
  the_gates().hold(turn.gate, turn.key, hash)
  the_gates().count_start(turn.gate, turn.key)
end

-- wait_for_turn makes the task wait. It leaves the permit, if there is one, to the caller.
local function wait_for_turn(turn)
  move('waiting', turn.made)
  put(UPDATED_AT, now_text)
  the_gates().line_up(turn.gate, turn.key, turn.share, hash, turn.since)
end

-- end_turn is called when the task is to leave pending, processing or waiting: its place is for others.
local function end_turn(turn)
  if task[STATUS] == 'waiting' then
    the_gates().step_out(turn.gate, turn.key, turn.share, hash)
  else
    the_gates().give_back(turn.gate, turn.key, hash)
  end
end

-- may_run is whether a task that is claimed may run. If not it waits again, and others were let in; or, when it has been held up
-- since its admission and would bunch with others, it keeps its permit, and may_run returns in how many ms it may. Another start is
-- given up for it then. A half in the score of its permit says that this was done.
local function may_run(turn)
  local admitted = redis.call('ZSCORE', turn.gate.at .. ':held', hash .. turn.key.name)
  if not admitted then
    if may_start(turn) then
      begins(turn)
      the_gates().count_run(turn.gate, turn.key)
      return true
    end
    wait_for_turn(turn)
    return false
  end
  if turn.gate.paused or turn.key.paused or the_gates().is_closed(turn.gate, turn.key) then
    wait_for_turn(turn)
    the_gates().give_back(turn.gate, turn.key, hash)
    return false
  end
  local counted = admitted % 1 ~= 0
  local frees = (counted or now - admitted > ADMITTED_FOR) and the_gates().run_frees(turn.gate, turn.key) or 0
  if frees > 0 then
    if not counted then
      the_gates().count_start(turn.gate, turn.key)
      redis.call('ZADD', turn.gate.at .. ':held', 'XX', now + 0.5, hash .. turn.key.name)
    end
    return false, frees
  end
  the_gates().count_run(turn.gate, turn.key)
  return true
end

-- waiting_for is for how long a task has waited for its turn, in ms; nothing if it does not.
local function waiting_for(member)
  local words = words_of(try('HGET', prefix .. 't:' .. member, 'state'))
  local since = tonumber(words[UPDATED_AT] ~= '' and words[UPDATED_AT] or words[CREATED_AT] or '')
  return words[STATUS] == 'waiting' and since and math.max(0, now - since) or nil
end

-- oldest_of is the longest that those calls of a key have waited that are next in one of its shares, in ms; 0 if none waits.
local function oldest_of(gate, key)
  local oldest = 0
  for _, share in ipairs(redis.call('ZRANGE', gate.at .. ':shares:' .. key.name, 0, SHARES_LOOKED - 1)) do
    for _, member in ipairs(redis.call('ZRANGE', gate.at .. ':w:' .. key.name .. '/' .. share, 0, 0)) do
      oldest = math.max(oldest, waiting_for(member) or 0)
    end
  end
  return oldest
end

-- look_at notes of a gate what the calls of a key are worth telling that have waited for so long.
local function look_at(gate, key, waited)
  gate.oldest = math.max(gate.oldest or 0, waited)
  if the_gates().could_start(gate, key) then
    gate.stalled = math.max(gate.stalled or 0, waited)
  end
  if key.closed and (gate.closed_at or math.huge) > (key.closed_at or now) then
    gate.closed_at, gate.closed_key = key.closed_at or now, key.name
  end
end

-- look_into looks at the keys of one of so many gates that most calls wait for: it adds up how many do, and looks closer at
-- a few.
local function look_into(gate, gates_there)
  local most, closer = math.ceil(KEYS_COUNTED / gates_there), math.ceil(KEYS_LOOKED / gates_there)
  local names = redis.call('ZREVRANGE', gate.at .. ':waits', 0, most - 1, 'WITHSCORES')
  gate.waiting_keys = redis.call('ZCARD', gate.at .. ':waits')
  gate.waiting = gate.waiting_keys - #names / 2
  gate.partial = gate.waiting > 0 and 1 or 0
  for i = 1, #names, 2 do
    gate.waiting = gate.waiting + names[i + 1]
    if i < 2 * closer then
      local key = the_gates().key_of(gate, names[i])
      look_at(gate, key, oldest_of(gate, key))
    end
  end
end

-- pause_note is the note of a pause of a gate or a key that is on, by its field of the hash of what is paused.
local function pause_note(field)
  return redis.call('HGET', prefix .. 'paused', field) or '{}'
end

-- told_of is what is told of a gate that was looked into: its name; what workers declare, and what an operator has set, as
-- its hash has them; its numbers; how many may run and do, how many calls wait, at least, and for how many keys;
-- in ms how long, and for how long although they could start; which key has been closed for longest, and since when; 1 if
-- the calls of some keys were not added up; the note of its pause.
local function told_of(gate)
  local stored_there = redis.call('HMGET', gate.at, 'numbers', 'declared_at', 'declared_by', 'set', 'set_until', 'set_by', 'set_at')
  return {
    gate.name, stored_there, {gate.each, gate.all, gate.interval, gate.burst, gate.most_waiting}, gate.limit, the_gates().running(gate),
    gate.waiting, gate.waiting_keys, gate.oldest or 0, gate.stalled or 0, gate.closed_key or false, gate.closed_at or false, gate.partial,
    gate.paused and pause_note('g:' .. gate.name) or false,
  }
end
