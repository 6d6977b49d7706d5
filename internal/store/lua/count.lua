-- count adds to what has happened in a queue in the minute that runs, by Redis's clock.
-- ARGV[1] how long a minute is kept, in ms   ARGV[2] most fields of a minute   ARGV[3...] function, what, how many, ...
-- Returns the number of fields. Beyond the most, what has no field yet is counted for the function 'other'.

local minute = prefix .. 'stats:' .. math.floor(now / 60000)
local fields, most = redis.call('HLEN', minute), tonumber(ARGV[2])

for i = 3, #ARGV, 3 do
  local field = ARGV[i] .. ' ' .. ARGV[i + 1]
  if fields >= most and redis.call('HEXISTS', minute, field) == 0 then
    field = 'other ' .. ARGV[i + 1]
  end
  if redis.call('HINCRBY', minute, field, ARGV[i + 2]) == tonumber(ARGV[i + 2]) then
    fields = fields + 1
  end
end
redis.call('PEXPIRE', minute, ARGV[1])
return fields
