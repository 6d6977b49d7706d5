-- progress keeps what a running attempt reports.
-- ARGV[1] token   ARGV[2] the report
-- Returns 1, or 0 when the token is not current.

local status, token = unpack(redis.call('HMGET', record, 'status', 'token'))
if not FROM[status] or token ~= ARGV[1] then
  return 0
end
redis.call('HSET', record, 'progress', ARGV[2])
return 1
