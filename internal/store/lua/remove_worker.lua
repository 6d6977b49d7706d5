-- remove_worker forgets a worker that holds nothing any more (R6) and is dead, or says itself that it goes.
-- ARGV[1] worker   ARGV[2] who asks
-- Returns 1, or 0 when the worker stays.

local beat = redis.call('ZSCORE', prefix .. 'workers', ARGV[1])
local lives = beat and now - beat <= DEAD_AFTER and ARGV[1] ~= ARGV[2]
if lives or redis.call('EXISTS', prefix .. 'claims:' .. ARGV[1]) == 1 then
  return 0
end
redis.call('ZREM', prefix .. 'workers', ARGV[1])
redis.call('DEL', prefix .. 'worker:' .. ARGV[1])
return 1
