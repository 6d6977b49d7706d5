-- delete removes a task that has ended, or a record that is damaged.
-- ARGV[1] created_at and ARGV[2] cycle that the person saw, both empty for a damaged record
-- Returns 1 when what was seen is gone, 0 when it is in flight, or no longer damaged.

local damaged = damage()
if damaged and ARGV[1] == '' and stored and newer() then
  return 0
elseif damaged and ARGV[1] == '' then
  for status in pairs(STATUSES) do
    if status ~= 'complete' then
      redis.call('ZREM', prefix .. status, hash)
    end
  end
  forget_completion()
  redis.call('DEL', record)
  drop(hash)
  return 1 -- an attempt that runs will find its token void
elseif damaged then
  return damaged
end

local status = task[STATUS]
if status and ARGV[1] == '' then
  return 0
end
if not status or task[CREATED_AT] ~= ARGV[1] or number(CYCLE, 1) ~= tonumber(ARGV[2]) then
  return 1
end
if not FROM[status] then
  return 0
end
if status == 'complete' then
  forget_completion()
  drop(hash)
else
  redis.call('ZREM', prefix .. status, hash)
end
redis.call('DEL', record)
return 1
