-- claim starts an attempt.
-- ARGV[1] token   ARGV[2] worker   ARGV[3] '1' to leave suspects, which may bring the worker down; else absent
-- Returns {'run', record, arguments}, {'later', ms} for a retry that is not due or a record newer than the caller, {'later', ms, 1} for a suspect that is left, or {'ack'} when there is nothing to do.
-- A damaged record is an error, and stays as it is: whoever ran it could not finish it.
-- A resend by the holder of the token gets the first answer again; a copy that comes after the attempt's end gets 'ack'.

local damaged = damage()
if damaged then
  return damaged
end
local status, token, last_token, due, lost = get('status', 'token', 'last_token', 'next_retry_at', 'lost_count')
if status == 'processing' and token == ARGV[1] then
  return {'run', read(), redis.call('HGET', record, 'args')}
end
if not FROM[status] or last_token == ARGV[1] then
  return {'ack'}
end
if newer() then
  return {'later', NEWER_LATER} -- a newer worker can read it; claimed here, it would be lost
end
if status == 'retrying' and tonumber(due) > now then
  return {'later', tonumber(due) - now}
end
if ARGV[3] and tonumber(lost or 0) >= SUSPECT_FROM then
  return {'later', SUSPECT_LATER, 1}
end

leave(status)
redis.call('HDEL', record, 'last_token', 'next_retry_at', 'progress', 'note')
redis.call('HSET', record, 'status', 'processing', 'attempt', number('attempt', 0) + 1, 'started_at', now,
  'token', ARGV[1], 'worker', ARGV[2])
redis.call('HSET', prefix .. 'claims:' .. ARGV[2], hash, ARGV[1])
redis.call('ZADD', prefix .. 'workers', now, ARGV[2]) -- R5: a claim before the first beat must not look orphaned
return {'run', read(), redis.call('HGET', record, 'args')}
