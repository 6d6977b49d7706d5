-- gate_read tells of one gate how it stands, and a page of its keys: most calls waiting first, then by name those for
-- which none waits, of the first calls that were let in. It changes nothing.
-- ARGV[1] gate   ARGV[2] how many keys   ARGV[3] how many calls waited for the last key seen, empty at the start
-- ARGV[4] that key   ARGV[5] the key of the flag that says that the queue is paused
-- Returns {} if there is no such gate, else {Redis's time; the gate as told_of has it; keys: name, running, waiting, ms
-- that the oldest has waited, why they wait, when time lets the next start, until when it is closed, since when, the
-- note of its pause, the function of the call that is next if nobody can run that, as name@version, and what pause_of or
-- unserved of lib.lua tells of it, ...}

local name, most = ARGV[1], tonumber(ARGV[2])
if redis.call('SISMEMBER', prefix .. 'gates', name) == 0 then
  return {}
end
local gate = the_gates().gate_of(name)
local keys = {}

-- nobody_runs tells of the call of a key that is next, by its function, why nobody runs it; of each function it asks once.
local asked = {}

local function nobody_runs(key)
  local share = redis.call('ZRANGE', gate.at .. ':shares:' .. key.name, 0, 0)[1]
  local member = share and redis.call('ZRANGE', gate.at .. ':w:' .. key.name .. '/' .. share, 0, 0)[1]
  local fn = member and function_in(try('HGET', prefix .. 't:' .. member, 'policy'))
  if fn and asked[fn] == nil then
    asked[fn] = pause_of(fn, ARGV[5]) or unserved(fn) or false
  end
  return fn and asked[fn] and fn or false, fn and asked[fn] or false
end

local function add(key_name)
  local key = the_gates().key_of(gate, key_name)
  local n, oldest = the_gates().waits(gate, key), oldest_of(gate, key)
  local fn, nobody = false, false
  if oldest > UNSERVED_AFTER then
    fn, nobody = nobody_runs(key)
  end
  for _, value in ipairs({
    key_name, the_gates().running_of(gate, key), n, oldest, n > 0 and the_gates().reason_of(gate, key),
    n > 0 and the_gates().frees_at(gate, key) or false, key.closed or false, key.closed_at or false,
    key.paused and pause_note('k:' .. name .. '/' .. key_name) or false, fn, nobody,
  }) do
    keys[#keys + 1] = value
  end
  most = most - 1
end

if ARGV[3] ~= '0' then
  local from = rank_below(gate.at .. ':waits', ARGV[3], ARGV[4])
  for _, key_name in ipairs(redis.call('ZREVRANGE', gate.at .. ':waits', from, from + most - 1)) do
    add(key_name)
  end
end

-- only_held are the keys of the calls that were let in first for which no call waits, by name.
local function only_held()
  local names, met = {}, {}
  for _, permit in ipairs(redis.call('ZRANGE', gate.at .. ':held', 0, HELD_LOOKED - 1)) do
    local key_name = string.sub(permit, 33)
    if not met[key_name] and the_gates().waits(gate, the_gates().key_of(gate, key_name)) == 0 then
      names[#names + 1] = key_name
    end
    met[key_name] = true
  end
  table.sort(names, precedes)
  return names
end

for _, key_name in ipairs(most > 0 and only_held() or {}) do
  if most > 0 and (ARGV[3] ~= '0' or precedes(ARGV[4], key_name)) then
    add(key_name)
  end
end
look_into(gate, 1)
return {now, told_of(gate), keys}
