-- sizes counts what is in a queue, at a cost that does not grow with it.
-- ARGV[1] most workers, and ARGV[2] most pending tasks, the first created ones, to look at   ARGV[3] most names under which
-- doorbells are set aside
-- Returns {waiting, pending, processing, retrying, failed, cancelled, living workers, ms that the oldest pending task has waited, and
-- that the oldest attempt has run as living workers told, name, how many doorbells are set aside under it, ...}.

local function card(status)
  return redis.call('ZCARD', prefix .. status)
end

local processing, longest = 0, 0
local beats = redis.call('ZREVRANGE', prefix .. 'workers', 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #beats, 2 do
  local running, silent = redis.call('HLEN', prefix .. 'claims:' .. beats[i]), now - tonumber(beats[i + 1])
  processing = processing + running
  if running > 0 and silent <= DEAD_AFTER then
    local ran = string.match(redis.call('GET', prefix .. 'worker:' .. beats[i]) or '', '"oldest":%[{.-"ms":(%d+)')
    longest = ran and math.max(longest, tonumber(ran) + silent) or longest
  end
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
  redis.call('ZCOUNT', prefix .. 'workers', now - DEAD_AFTER, '+inf'), oldest, longest}
for _, name in ipairs(redis.call('SRANDMEMBER', prefix .. 'aside', ARGV[3])) do
  sizes[#sizes + 1] = name
  sizes[#sizes + 1] = redis.call('LLEN', prefix .. 'aside:' .. name)
end
return sizes
