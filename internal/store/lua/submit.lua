-- submit makes a call: it creates the task, gives an ended one a new life, or finds what is there.
-- ARGV[1] request id   ARGV[2] inbox to tell, or empty   ARGV[3] revive: 'failed', 'complete', both joined by a comma, or empty
-- ARGV[4] namespace   ARGV[5] function   ARGV[6] version   ARGV[7] arguments   ARGV[8...] policy: field, value, ...
-- Returns {record, result, its encoding, 1 if this call started the life that the record shows}.
-- A resend finds its own request id and only reads (R11).

local status, req = unpack(try('HMGET', record, 'status', 'req') or {})
local asked = status == 'cancelled' or string.find(',' .. ARGV[3] .. ',', ',' .. tostring(status) .. ',', 1, true)
local starts = not status or (req ~= ARGV[1] and FROM[status] and asked and not newer())
local damaged = starts and damage() -- a reader finds out by itself
if damaged then
  return damaged
end

if starts then
  if status then
    revive(status)
    fresh_budget()
    redis.call('HDEL', record, 'last_error', unpack(POLICY))
  else
    redis.call('HSET', record, 'created_at', now, 'status', 'pending', 'func', ARGV[5], 'args', ARGV[7])
    if ARGV[4] ~= DEFAULT.ns then redis.call('HSET', record, 'ns', ARGV[4]) end
    if ARGV[6] ~= '1' then redis.call('HSET', record, 'version', ARGV[6]) end
    redis.call('ZADD', prefix .. 'pending', now, hash)
  end
  redis.call('HSET', record, 'req', ARGV[1], unpack(ARGV, 8))
end

add_waiter(ARGV[2])
local result, encoding = get('result', 'result_encoding')
return {read(), result, encoding, (starts or req == ARGV[1]) and 1 or 0}
