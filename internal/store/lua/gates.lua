-- What scripts do with gates. assemble.go makes one function of this file, gates, that scripts call when a task has a turn: so it
-- costs plain calls nothing. It knows tasks by their hashes alone, and changes only those that it lets in.
--
-- Keys, behind the queue's prefix
--   gates                    set of the names of gates
--   gate:<g>                 hash: numbers, declared_at, declared_by, what an operator has set, a pause, round
--   gate:<g>:held            sorted set of the permits: <hash><key> by when it was admitted. The permit is the membership
--   gate:<g>:held:<key>      set of the hashes among them
--   gate:<g>:k:<key>         hash: tat, ran, round, closed_until, closed_for, closed_at, a pause; it expires when nothing of it counts
--   gate:<g>:waits           sorted set of the keys that calls wait for, by how many do
--   gate:<g>:shares:<key>    sorted set of the shares in which they wait, by round
--   gate:<g>:w:<key>/<share> sorted set of the hashes of those calls, by when they were made, less their head start
--   gate:<g>:ready           sorted set of the keys that could start a call, by round
--   due                      sorted set of turn:<g>/<key>, by when time lets the next call of that key start
-- A key is ready when its own limits let a call start that waits. After each script none is ready while its gate has room.

local micros = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local opened, let_in = {}, {}

-- numbers_of are the limits of a gate: what its workers declare, and what an operator has set in place of some of that.
-- Beside a rate, no limit of all means slots.
local function numbers_of(declared, set, set_until)
  local own = {string.match(declared or '', NUMBERS_FORM)}
  if set and (tonumber(set_until) or now + 1) > now then
    for place, word in ipairs({string.match(set, NUMBERS_FORM)}) do
      own[place] = word ~= '' and word or own[place]
    end
  end
  for place = 1, 5 do
    own[place] = tonumber(own[place]) or 0
  end
  if own[3] > 0 and own[2] == 0 then
    own[2] = ALL_SLOTS
  end
  return unpack(own)
end

local function slots()
  local all = tonumber(redis.call('HGET', prefix .. 'sweep', 'slots')) or 0
  return math.max(MIN_SLOTS, math.ceil(all * MORE_SLOTS))
end

-- is_paused is whether a pause is on that ends at a time, or at none.
local function is_paused(ends)
  return ends and (ends == '' or (tonumber(ends) or 0) > now)
end

local function gate_of(name)
  if not opened[name] then
    local at = prefix .. 'gate:' .. name
    local declared, set, set_until, paused, round = unpack(redis.call('HMGET', at, 'numbers', 'set', 'set_until', 'paused_until', 'round'))
    local gate = {name = name, at = at, declared = declared, paused = is_paused(paused), round = tonumber(round) or 0, keys = {}}
    gate.each, gate.all, gate.interval, gate.burst, gate.most_waiting = numbers_of(declared, set, set_until)
    gate.limit = gate.all < 0 and slots() or gate.all
    gate.burst = math.max(1, gate.burst)
    opened[name] = gate
  end
  return opened[name]
end

-- running is how many calls of all keys have a permit.
local function running(gate)
  gate.running = gate.running or redis.call('ZCARD', gate.at .. ':held')
  return gate.running
end

-- after_clock cuts what lies further ahead than anything puts it: the clock has stepped back.
local function after_clock(gate, key)
  local most = micros + gate.burst * gate.interval
  local closed = key.closed and math.min(key.closed, now + key.closed_for)
  if key.tat > most or key.ran > most or closed ~= key.closed then
    key.tat, key.ran, key.closed, key.dirty = math.min(key.tat, most), math.min(key.ran, most), closed, true
  end
end

local function key_of(gate, name)
  if not gate.keys[name] then
    local at = gate.at .. ':k:' .. name
    local tat, ran, round, closed, closed_for, closed_at, paused =
      unpack(redis.call('HMGET', at, 'tat', 'ran', 'round', 'closed_until', 'closed_for', 'closed_at', 'paused_until'))
    local key = {
      name = name, at = at, round = tonumber(round) or 0, tat = tonumber(tat) or 0, ran = tonumber(ran) or 0,
      closed = tonumber(closed), closed_for = tonumber(closed_for) or 0, closed_at = tonumber(closed_at),
      paused = is_paused(paused), pause = paused,
    }
    after_clock(gate, key)
    gate.keys[name] = key
  end
  return gate.keys[name]
end

local function running_of(gate, key)
  key.running = key.running or redis.call('SCARD', gate.at .. ':held:' .. key.name)
  return key.running
end

-- waits is how many calls wait for a key.
local function waits(gate, key)
  key.waits = key.waits or tonumber(redis.call('ZSCORE', gate.at .. ':waits', key.name)) or 0
  return key.waits
end

local function waits_change(gate, key, by)
  key.waits = waits(gate, key) + by
  if key.waits > 0 then
    redis.call('ZADD', gate.at .. ':waits', key.waits, key.name)
  else
    redis.call('ZREM', gate.at .. ':waits', key.name)
  end
  key.dirty = true
end

-- rate_frees is when the rate of a key lets a call start, in micros.
local function rate_frees(gate, key)
  return gate.interval > 0 and key.tat - (gate.burst - 1) * gate.interval or 0
end

local function rate_allows(gate, key)
  return rate_frees(gate, key) <= micros
end

-- run_frees is in how many ms as many calls of a key have been run as its rate allows, and one more; 0: they have not.
local function run_frees(gate, key)
  return math.max(0, math.ceil((key.ran - (gate.burst - 1) * gate.interval - micros) / 1000))
end

local function gate_has_room(gate)
  return gate.declared and not gate.paused and (gate.all == 0 or running(gate) < gate.limit)
end

-- key_has_room is whether the limits of the key alone let a call start. One that was closed lets one go alone, until one completes.
local function key_has_room(gate, key)
  if key.paused or key.closed and (key.closed > now or running_of(gate, key) > 0) then
    return false
  end
  return (gate.each == 0 or running_of(gate, key) < gate.each) and rate_allows(gate, key)
end

-- freed_at is when time lets a call of the key start, or has let one, in ms.
local function freed_at(gate, key)
  return math.max(math.ceil(rate_frees(gate, key) / 1000), key.closed or 0, tonumber(key.pause) or 0)
end

-- frees_at is freed_at; nothing if it is not time that the key needs.
local function frees_at(gate, key)
  local at = freed_at(gate, key)
  return at > now and at or nil
end

-- could_start is whether the limits let a call of the key start, and time has for so long that somebody should have let it
-- in.
local function could_start(gate, key)
  return gate_has_room(gate) and key_has_room(gate, key) and freed_at(gate, key) <= now - ROOM_FOR
end

-- place puts a key among those that could start a call, or among those that time frees, or takes it from both.
local function place(gate, key)
  local ready, due = gate.at .. ':ready', 'turn:' .. gate.name .. '/' .. key.name
  local has = waits(gate, key) > 0
  local at = has and key.pause ~= '' and frees_at(gate, key)
  if has and key_has_room(gate, key) then
    redis.call('ZADD', ready, 'NX', gate.round + 1, key.name)
  else
    redis.call('ZREM', ready, key.name)
  end
  if not at then
    redis.call('ZREM', prefix .. 'due', due)
    return
  end
  local changed = redis.call('ZADD', prefix .. 'due', 'CH', at, due) == 1
  local by = changed and at - now <= TELL_DUE and redis.call('HGET', prefix .. 'sweep', 'by')
  if by then -- if it does not hear, the sweep finds out
    wake(by, 'due ' .. whole_text(at - now))
  end
end

-- hold gives a task a permit, and counts its start.
local function hold(gate, key, member)
  redis.call('ZADD', gate.at .. ':held', now, member .. key.name)
  redis.call('SADD', gate.at .. ':held:' .. key.name, member)
  gate.running, key.running = running(gate) + 1, running_of(gate, key) + 1
end

-- after_one is a meter of starts after one more. One that is a little late counts as on time: what time takes to be told of would
-- else add up.
local function after_one(gate, meter)
  return (meter >= micros - LATE_FOR and meter or micros) + gate.interval
end

-- count_start counts an admission at the rate of a key.
local function count_start(gate, key)
  if gate.interval > 0 then
    key.tat, key.dirty = after_one(gate, key.tat), true
  end
end

-- count_run counts a call of the key that runs now. Those that were held up after their admission go by this.
local function count_run(gate, key)
  if gate.interval > 0 then
    key.ran, key.dirty = after_one(gate, key.ran), true
  end
end

local function in_share(gate, key, share)
  return gate.at .. ':w:' .. key.name .. '/' .. share
end

-- pop takes the call out of a key's line that is first, in the share whose turn it is.
local function pop(gate, key)
  local shares = gate.at .. ':shares:' .. key.name
  local share, round = unpack(redis.call('ZRANGE', shares, 0, 0, 'WITHSCORES'))
  if not share then
    waits_change(gate, key, -waits(gate, key))
    return nil
  end
  local line = in_share(gate, key, share)
  local member = redis.call('ZRANGE', line, 0, 0)[1]
  if member then
    redis.call('ZREM', line, member)
    waits_change(gate, key, -1)
  end
  key.round, key.dirty = math.max(key.round, tonumber(round)), true
  if redis.call('EXISTS', line) == 1 then
    redis.call('ZADD', shares, round + 1, share)
  else
    redis.call('ZREM', shares, share)
  end
  return member or pop(gate, key)
end

-- to_pending makes a waiting task pending, whose state has these words.
local function to_pending(member, words, policy)
  local delivery = (tonumber(words[DELIVERY]) or 1) + 1
  words[STATUS], words[UPDATED_AT], words[DELIVERY] = 'pending', now_text, whole_text(delivery)
  redis.call('ZREM', prefix .. 'waiting', member)
  redis.call('ZADD', prefix .. 'pending', words[CREATED_AT], member)
  local state = table.concat(words, ',')
  redis.call('HSET', prefix .. 't:' .. member, 'state', state)
  let_in[#let_in + 1] = member
  let_in[#let_in + 1] = state
  let_in[#let_in + 1] = policy
end

-- may_be_let_in is whether a state that says waiting has what becomes of it.
local function may_be_let_in(words)
  return tonumber(words[CREATED_AT]) and (words[DELIVERY] == '' or tonumber(words[DELIVERY]))
end

-- lets_in lets a task in that waits. False: it does not.
local function lets_in(gate, key, member)
  local state, policy = unpack(try('HMGET', prefix .. 't:' .. member, 'state', 'policy') or {})
  local words = words_of(state)
  if words[STATUS] ~= 'waiting' then
    if not state or STATUSES[words[STATUS]] then
      redis.call('ZREM', prefix .. 'waiting', member)
    end
    return false
  elseif not policy or not may_be_let_in(words) then
    return false -- it is damaged, and stays listed
  end
  to_pending(member, words, policy)
  hold(gate, key, member)
  count_start(gate, key)
  return true
end

-- let_go takes the turn from a task that waits: nobody's gate is meant by it any more.
local function let_go(member, words, policy)
  local key = prefix .. 't:' .. member
  redis.call('HDEL', key, 'turn')
  words[V] = redis.call('HEXISTS', key, FIELD_RESULT_FROM) == 1 and V_RESULT_FROM or ''
  to_pending(member, words, policy)
end

-- admit lets up to n calls of a gate in that wait, in turn, and no more than a script may. It returns whether the gate has no more
-- to let in.
local function admit(gate, n)
  local ready = gate.at .. ':ready'
  for _ = 1, 10 * n do
    if n == 0 or #let_in >= 3 * MAX_LET_IN or not gate_has_room(gate) then
      break
    end
    local name, round = unpack(redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES'))
    if not name then
      return true
    end
    local key = key_of(gate, name)
    if key_has_room(gate, key) then
      local member = pop(gate, key)
      gate.round, gate.dirty = math.max(gate.round, tonumber(round)), true
      redis.call('ZADD', ready, round + 1, name)
      if member and lets_in(gate, key, member) then
        n = n - 1
      end
    end
    place(gate, key)
  end
  return not gate_has_room(gate) or redis.call('EXISTS', ready) == 0
end

-- may_start is whether a call that comes may start before all others: nobody waits who could start.
local function may_start(gate, key)
  return gate_has_room(gate) and key_has_room(gate, key) and waits(gate, key) == 0 and redis.call('EXISTS', gate.at .. ':ready') == 0
end

-- refuses is whether no call may wait for a key any more.
local function refuses(gate, key)
  if gate.most_waiting > 0 and waits(gate, key) >= gate.most_waiting then
    return true
  end
  return waits(gate, key) == 0 and redis.call('ZCARD', gate.at .. ':waits') >= MAX_WAITING_KEYS
    or not gate.declared and redis.call('SCARD', prefix .. 'gates') >= MAX_GATES and redis.call('SISMEMBER', prefix .. 'gates', gate.name) == 0
end

-- line_up has a task wait. Where others of its key wait already, the key stays where it is: a sweep tries what time has freed.
local function line_up(gate, key, share, member, since)
  if not gate.declared then
    redis.call('SADD', prefix .. 'gates', gate.name)
  end
  if redis.call('ZADD', in_share(gate, key, share), since, member) == 1 then
    redis.call('ZADD', gate.at .. ':shares:' .. key.name, 'NX', key.round + 1, share)
    waits_change(gate, key, 1)
    if key.waits == 1 then
      place(gate, key)
    end
  end
end

-- step_out takes a task out of its line.
local function step_out(gate, key, share, member)
  local line = in_share(gate, key, share)
  if redis.call('ZREM', line, member) == 1 then
    waits_change(gate, key, -1)
    if redis.call('EXISTS', line) == 0 then
      redis.call('ZREM', gate.at .. ':shares:' .. key.name, share)
    end
    if key.waits <= 0 then
      place(gate, key)
    end
  end
end

-- give_back takes the permit of a task, if it has one, and lets in who follows.
local function give_back(gate, key, member)
  local held = redis.call('ZREM', gate.at .. ':held', member .. key.name)
  if redis.call('SREM', gate.at .. ':held:' .. key.name, member) + held == 0 then
    return false
  end
  gate.running, key.running = gate.running and gate.running - 1, key.running and key.running - 1
  if waits(gate, key) > 0 then
    place(gate, key)
  end
  admit(gate, DUE_TRIED) -- mostly one; all who wait for a key that was closed
  return true
end

-- try_due tries the keys that time has freed, up to a time, and lets in who may start.
local function try_due(up_to)
  local met = {}
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'due', '-inf', up_to, 'LIMIT', 0, DUE_TRIED)) do
    local name, key = string.match(entry, '^turn:([^/]*)/(.*)$')
    if name then
      met[name] = true
      place(gate_of(name), key_of(gate_of(name), key))
    else
      redis.call('ZREM', prefix .. 'due', entry)
    end
  end
  for name in pairs(met) do
    admit(gate_of(name), DUE_TRIED)
  end
end

-- next_due is in how many ms time frees the next key; -1 if none waits for that.
local function next_due()
  local at = tonumber(redis.call('ZRANGE', prefix .. 'due', 0, 0, 'WITHSCORES')[2])
  return at and math.max(0, at - now) or -1
end

-- place_some places keys that calls wait for, from a rank on: their limits may have changed. It returns the rank to go on from, 0
-- at the end.
local function place_some(gate, from, n)
  local names = redis.call('ZRANGE', gate.at .. ':waits', from, from + n - 1)
  for _, name in ipairs(names) do
    place(gate, key_of(gate, name))
  end
  return #names < n and 0 or from + n
end

-- try_limits lets in who may start by limits that have changed; sweeps go on where there are many keys.
local function try_limits(gate)
  place_some(gate, 0, DUE_TRIED)
  admit(gate, DUE_TRIED)
end

-- declare gives a gate the numbers that a worker declares, unless one that was started later has declared some; anyhow gives it these
-- all the same.
local function declare(name, numbers, since, worker, anyhow)
  local at = prefix .. 'gate:' .. name
  local before, declared_at, by, seen = unpack(redis.call('HMGET', at, 'numbers', 'declared_at', 'declared_by', 'seen'))
  declared_at = tonumber(declared_at)
  if not anyhow and declared_at and (declared_at > since or declared_at == since and by > worker) then
    return
  elseif before ~= numbers or declared_at ~= since or by ~= worker or now - (tonumber(seen) or 0) > SEEN_AGAIN then
    redis.call('HSET', at, 'numbers', numbers, 'declared_at', whole_text(since), 'declared_by', worker, 'seen', now_text)
    redis.call('SADD', prefix .. 'gates', name)
    opened[name] = nil
  end
  if before ~= numbers then
    try_limits(gate_of(name))
  end
end

-- reason_of is why a call of the key that waits does not start.
local function reason_of(gate, key)
  if not gate.declared then
    return 'undeclared'
  elseif gate.paused or key.paused then
    return 'paused'
  elseif key.closed then
    return 'unavailable'
  elseif not rate_allows(gate, key) then
    return 'rate'
  end
  return 'limit'
end

-- pauses are the notes of the pauses of gate and key; false for what is not paused.
local function pauses(gate, key)
  local notes = {}
  if gate.paused or key.paused then
    notes = redis.call('HMGET', prefix .. 'paused', 'g:' .. gate.name, 'k:' .. gate.name .. '/' .. key.name)
  end
  return gate.paused and (notes[1] or '{}') or false, key.paused and (notes[2] or '{}') or false
end

-- stands tells where a task stands that waits: its position among those of its key, how many run and may run, why it does not
-- start, and when time lets the next of its key start. Shares are served in rounds.
local function stands(gate, key, share, member)
  local rank = redis.call('ZRANK', in_share(gate, key, share), member) or 0
  local position = rank + 1
  local shares = redis.call('ZRANGE', gate.at .. ':shares:' .. key.name, 0, SHARES_TOLD - 1)
  local before = true
  for _, other in ipairs(shares) do
    if other == share then
      before = false
    else
      position = position + math.min(redis.call('ZCARD', in_share(gate, key, other)), rank + (before and 1 or 0))
    end
  end
  local running_now, limit = running(gate), gate.limit or 0
  if gate.each > 0 and (running_of(gate, key) >= gate.each or gate.all == 0) then
    running_now, limit = running_of(gate, key), gate.each
  end
  local reason = reason_of(gate, key)
  local of_gate, of_key = pauses(gate, key)
  return {gate.name, key.name, share, position, running_now, limit, reason, frees_at(gate, key) or false, of_gate, of_key}
end

-- close_key closes a key for so many ms, or leaves it closed for longer.
local function close_key(_, key, closed_for)
  key.closed_at = key.closed and key.closed_at or now
  if now + closed_for > (key.closed or 0) then
    key.closed, key.closed_for = now + closed_for, closed_for
  end
  key.dirty, key.unclosed = true, false
end

-- open_key opens a key as a call of it is complete, unless that was started before the key was to be tried again.
local function open_key(_, key, started_at)
  if key.closed and key.closed <= now and started_at >= key.closed then
    key.closed, key.dirty, key.unclosed = nil, true, true
  end
end

-- is_closed is whether a call that has a permit may not start, as the key is closed, or another is to find out whether it still is.
local function is_closed(gate, key)
  return key.closed and (key.closed > now or running_of(gate, key) > 1)
end

-- lasts is for how many ms more what is known of a key counts; nothing: until something happens.
local function lasts(gate, key)
  if waits(gate, key) > 0 or key.paused and key.pause == '' then
    return nil
  end
  local closed = key.closed and math.max(0, key.closed - now) + CLOSED_KEPT or 0
  return math.max(math.ceil((math.max(key.tat, key.ran) - micros) / 1000), closed, key.paused and key.pause - now or 0)
end

local function write_key(gate, key)
  local rest = lasts(gate, key)
  if rest and rest <= 0 then
    redis.call('DEL', key.at)
    return
  end
  redis.call('HSET', key.at, 'tat', whole_text(key.tat), 'round', whole_text(key.round))
  if key.ran > 0 then
    redis.call('HSET', key.at, 'ran', whole_text(key.ran))
  end
  if key.unclosed then
    redis.call('HDEL', key.at, 'closed_until', 'closed_for', 'closed_at')
  elseif key.closed then
    redis.call('HSET', key.at, 'closed_until', whole_text(key.closed), 'closed_for', whole_text(key.closed_for),
      'closed_at', whole_text(key.closed_at or now))
  end
  if key.pause and not key.paused then
    redis.call('HDEL', key.at, 'paused_until')
  end
  if rest then
    redis.call('PEXPIRE', key.at, rest)
  else
    redis.call('PERSIST', key.at)
  end
end

-- written writes what has changed of gates and keys, and returns who was let in: hash, state, policy, ...
local function written()
  for _, gate in pairs(opened) do
    if gate.dirty then
      redis.call('HSET', gate.at, 'round', whole_text(gate.round))
    end
    for _, key in pairs(gate.keys) do
      if key.dirty then
        write_key(gate, key)
      end
    end
  end
  return let_in
end

return {
  gate_of = gate_of, key_of = key_of, may_start = may_start, refuses = refuses, hold = hold, count_start = count_start,
  line_up = line_up, step_out = step_out, give_back = give_back, admit = admit, place = place, waits = waits,
  close_key = close_key, open_key = open_key, is_closed = is_closed, run_frees = run_frees, count_run = count_run, may_be_let_in = may_be_let_in,
  try_due = try_due, next_due = next_due,
  place_some = place_some, try_limits = try_limits, declare = declare, let_go = let_go, stands = stands, pauses = pauses, written = written, running = running,
  running_of = running_of, frees_at = frees_at, could_start = could_start, reason_of = reason_of,
}
