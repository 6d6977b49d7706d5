-- overview tells what waits in a queue and who serves it. It changes nothing.
-- ARGV[1] how many entries of each end of a set to name   ARGV[2] from how many ms on a retry counts as overdue
-- Returns {Redis's time, how many are pending, hashes of the oldest and the newest, how many are retrying, hashes of the
-- first and the last due, how many are overdue, due time of the first of these, workers as id, beat, what it is, claims, ...,
-- how many are waiting for their turn}

local most = tonumber(ARGV[1])

local function ends(set)
  local n = redis.call('ZCARD', prefix .. set)
  local found = redis.call('ZRANGE', prefix .. set, 0, most - 1)
  if n > most then
    for _, member in ipairs(redis.call('ZRANGE', prefix .. set, math.max(most, n - most), -1)) do
      found[#found + 1] = member
    end
  end
  return n, found
end

local pending, pending_hashes = ends('pending')
local retrying, retrying_hashes = ends('retrying')
local overdue = redis.call('ZCOUNT', prefix .. 'retrying', '-inf', now - tonumber(ARGV[2]))
local first = redis.call('ZRANGE', prefix .. 'retrying', 0, 0, 'WITHSCORES')[2]

local workers = {}
local beats = redis.call('ZRANGE', prefix .. 'workers', 0, -1, 'WITHSCORES')
for i = 1, #beats, 2 do
  workers[#workers + 1] = beats[i]
  workers[#workers + 1] = beats[i + 1]
  workers[#workers + 1] = redis.call('GET', prefix .. 'worker:' .. beats[i]) or ''
  workers[#workers + 1] = tostring(redis.call('HLEN', prefix .. 'claims:' .. beats[i]))
end
return {now, pending, pending_hashes, retrying, retrying_hashes, overdue, first or tostring(now), workers, redis.call('ZCARD', prefix .. 'waiting')}
