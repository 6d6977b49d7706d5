-- inspect reads doorbells as asynq v0.26 keeps them: a hash each, and its id in a list or sorted set that asynq takes it from.
-- KEYS[1] asynq's prefix of the queue's keys, asynq:{queue}:   KEYS[2] the names under which doorbells are set aside
-- ARGV[1] how many doorbells may be pending to be gone through, those that are set aside among them   ARGV[2...] ids of doorbells
-- Returns Redis's time in ms, then for each id its state, or '' when there is none, and a time in Unix seconds, or 0: when
-- a scheduled or retried doorbell is due, when the lease of an active one ends. The state is 'stray' when asynq has the
-- hash but not the id, or something else under the key of the hash: it will never ring.

local prefix = KEYS[1]
local clock = redis.call('TIME')
local answer = {tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)}

-- all_listed are the ids in the list of pending doorbells, and in those of doorbells that are set aside; or true when they are too
-- many to be gone through.
local function all_listed()
  local left = tonumber(ARGV[1]) - redis.call('LLEN', prefix .. 'pending')
  if left < redis.call('SCARD', KEYS[2]) then
    return true
  end
  local lists = {prefix .. 'pending'}
  for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    lists[#lists + 1] = KEYS[2] .. ':' .. name
    left = left - redis.call('LLEN', KEYS[2] .. ':' .. name)
    if left < 0 then
      return true
    end
  end
  local all = {}
  for _, list in ipairs(lists) do
    for _, id in ipairs(redis.call('LRANGE', list, 0, -1)) do
      all[id] = true
    end
  end
  return all
end

local listed
local function is_listed(id)
  listed = listed or all_listed()
  return listed == true or listed[id]
end

-- state_of does not let one key that asynq did not write keep all others from being looked at.
local function state_of(id)
  local key = prefix .. 't:' .. id
  local reply = redis.pcall('HGET', key, 'state')
  if type(reply) ~= 'table' then
    return reply or ''
  elseif string.find(reply.err, 'WRONGTYPE', 1, true) then
    return 'stray'
  end
  return redis.call('HGET', key, 'state') -- raises the error: it is not about the key
end

local sets = {scheduled = 'scheduled', retry = 'retry', active = 'lease'}

for i = 2, #ARGV do
  local id = ARGV[i]
  local state, at = state_of(id), '0'
  if sets[state] then
    at = redis.call('ZSCORE', prefix .. sets[state], id)
  end
  if not at or (state == 'pending' and not is_listed(id)) then
    state, at = 'stray', '0'
  end
  answer[#answer + 1] = state
  answer[#answer + 1] = at
end
return answer
