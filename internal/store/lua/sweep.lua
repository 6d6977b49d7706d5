-- sweep looks for what was lost; one caller a second gets an answer.
-- ARGV[1] how many entries of each set to look at
-- Returns false when another has just swept, else
-- {claims of dead workers as worker, hash, token, ...; dead workers without claims; hashes of tasks that have waited
-- or been overdue for too long}.
-- The sets are walked by a cursor each, so that no healthy head hides a lost entry.

local state = prefix .. 'sweep'
local last, resumed = unpack(redis.call('HMGET', state, 'tick', 'resumed'))
last, resumed = tonumber(last), tonumber(resumed)
if last and now >= last and now - last < SWEEP_EVERY then
  return false
end
if not last or not resumed or now < resumed or now - last > SWEEP_GAP then
  resumed = now -- nobody could beat while nobody could sweep: give everybody time to
end
redis.call('HSET', state, 'tick', now, 'resumed', resumed)

local batch = tonumber(ARGV[1])

-- page returns the next entries of a set below a score. A walk ends where the set ended when it began: a set that grows
-- faster than it is walked would otherwise never be walked from its start again.
local function page(set, below)
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
  redis.call('HSET', state, cursor, from < to and #found == batch and from or 0, last_one, to)
  return found
end

local orphans, idle, silent = {}, {}, {}

if now - resumed >= DEAD_AFTER then
  local dead = redis.call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', now - DEAD_AFTER - 1, 'LIMIT', 0, batch)
  for _, worker in ipairs(dead) do
    local claims = redis.call('HGETALL', prefix .. 'claims:' .. worker)
    for i = 1, math.min(#claims, 2 * batch), 2 do
      orphans[#orphans + 1] = worker
      orphans[#orphans + 1] = claims[i]
      orphans[#orphans + 1] = claims[i + 1]
    end
    if #claims == 0 then
      idle[#idle + 1] = worker
    end
  end
end

for _, set in ipairs({'pending', 'retrying', 'complete', 'failed', 'cancelled'}) do
  for _, member in ipairs(page(set, set == 'retrying' and now - OVERDUE_TOO_LONG or '+inf')) do
    -- pcall: what is no record, whoever put it there, must not end every sweep of the queue.
    local status, updated, created = unpack(redis.pcall('HMGET', prefix .. 't:' .. member, 'status', 'updated_at', 'created_at'))
    if status == false or (STATUS[status] and status ~= set) then
      redis.call('ZREM', prefix .. set, member) -- it has expired, or lives on elsewhere since; what is damaged stays listed
    elseif status == set and (set == 'retrying' or (set == 'pending' and now - (tonumber(updated or created) or 0) > PENDING_TOO_LONG)) then
      silent[#silent + 1] = member
    end
  end
end
return {orphans, idle, silent}
