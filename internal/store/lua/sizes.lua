-- sizes counts what is in a queue, at a cost that does not grow with it.
-- ARGV[1] most workers, and ARGV[2] most pending tasks, the first created ones, to look at   ARGV[3] most names under which
-- doorbells are set aside
-- Returns {waiting, pending, processing, retrying, failed, cancelled, living workers, ms that the oldest pending task has waited,
-- name, how many doorbells are set aside under it, ...}.

local function card(status)
  return redis.call('ZCARD', prefix .. status)
end

local processing = 0
for _, worker in ipairs(redis.call('ZREVRANGE', prefix .. 'workers', 0, ARGV[1] - 1)) do
  processing = processing + redis.call('HLEN', prefix .. 'claims:' .. worker)
end

local oldest = 0
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'pending', 0, ARGV[2] - 1)) do
  local times = words_of(try('HGET', prefix .. 't:' .. id, 'state')) -- a damaged one must not hide the others
  local since = tonumber(times[UPDATED_AT] ~= '' and times[UPDATED_AT] or times[CREATED_AT] or '')
  if since then
    oldest = math.max(oldest, now - since)
  end
end

local sizes = {card('waiting'), card('pending'), processing, card('retrying'), card('failed'), card('cancelled'),
  redis.call('ZCOUNT', prefix .. 'workers', now - DEAD_AFTER, '+inf'), oldest}
for _, name in ipairs(redis.call('SRANDMEMBER', prefix .. 'aside', ARGV[3])) do
  sizes[#sizes + 1] = name
  sizes[#sizes + 1] = redis.call('LLEN', prefix .. 'aside:' .. name)
end
return sizes
