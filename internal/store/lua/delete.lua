-- delete removes a task that has ended.
-- ARGV[1] created_at and ARGV[2] cycle that the person saw
-- Returns 1 when what was seen is gone, 0 when it is in flight.

local status, created, cycle = get('status', 'created_at', 'cycle')
if not status or created ~= ARGV[1] or (cycle or '1') ~= ARGV[2] then
  return 1
end
if not FROM[status] then
  return 0
end
leave(status)
redis.call('DEL', record)
return 1
