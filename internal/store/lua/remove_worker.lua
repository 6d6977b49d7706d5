-- remove_worker forgets a worker that holds nothing any more (R6) and is dead, or says itself that it goes.
-- ARGV[1] worker   ARGV[2] who asks
-- Returns 1, or 0 when the worker stays.

if ARGV[1] ~= ARGV[2] and lives(ARGV[1]) or redis.call('EXISTS', prefix .. 'claims:' .. ARGV[1]) == 1 then
  return 0
end
for _, name in ipairs(names_of(redis.call('GET', prefix .. 'worker:' .. ARGV[1]))) do
  redis.call('SREM', prefix .. 'knows:' .. name, ARGV[1])
end
redis.call('ZREM', prefix .. 'workers', ARGV[1])
redis.call('SREM', prefix .. 'idle', ARGV[1])
redis.call('DEL', prefix .. 'worker:' .. ARGV[1])
return 1
