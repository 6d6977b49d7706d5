-- progress keeps what a running attempt reports.
-- ARGV[1] token   ARGV[2] the report
-- Returns 1, or 0 when the token is not current.

local current = words_of(redis.call('HGET', record, 'state'))
if not FROM[current[STATUS]] or current[TOKEN] ~= ARGV[1] then
  return 0
end
redis.call('HSET', record, 'progress', ARGV[2])
return 1
