-- finish ends an attempt.
-- ARGV[1] token   ARGV[2] kind, then by kind:
--   complete  ARGV[3] result   ARGV[4] its encoding, or empty
--   error     ARGV[3] error   ARGV[4] cause   ARGV[5] '1' if permanent   ARGV[6] delay in ms before a retry   ARGV[7] note, or empty
--   release   ARGV[3] note, or empty   ARGV[4] who hands it back
-- Returns {1, status, ms until the next retry}, or {0} when the token is not current: the outcome is void.
-- A resend finds its token as last_token and gets the same answer.

local damaged = damage()
if damaged then
  return damaged
end
local status, token, last_token, due = get('status', 'token', 'last_token', 'next_retry_at')
if last_token == ARGV[1] then
  return {1, status, math.max(0, tonumber(due or now) - now)}
end
if not FROM[status] or token ~= ARGV[1] then
  return {0}
end

local function note(text)
  if text ~= '' then redis.call('HSET', record, 'note', text) end
end

local function complete(result, encoding)
  leave(status)
  redis.call('HDEL', record, 'result_encoding')
  redis.call('HSET', record, 'result', result)
  if encoding ~= '' then redis.call('HSET', record, 'result_encoding', encoding) end
  end_task('complete')
  return {1, 'complete', 0}
end

local function fail(text, cause, permanent, delay, remark)
  local retries = number('retry_count', 0)
  local retry = permanent ~= '1' and retries < number('max_retries', DEFAULT.max_retries)
  attempt_ended(cause, text, retry and delay or nil)
  redis.call('HSET', record, 'last_error', text)
  leave(status)
  if not retry then
    end_task('failed')
    return {1, 'failed', 0}
  end
  redis.call('HSET', record, 'status', 'retrying', 'retry_count', retries + 1, 'next_retry_at', now + delay, 'updated_at', now)
  redis.call('ZADD', prefix .. 'retrying', now + delay, hash)
  note(remark)
  return {1, 'retrying', delay}
end

local function release(remark, by)
  leave(status)
  redis.call('HDEL', record, 'started_at', 'progress')
  if redis.call('HINCRBY', record, 'attempt', -1) == 0 then redis.call('HDEL', record, 'attempt') end
  wait_for_worker()
  note(remark)
  event('handed_back', by)
  return {1, 'pending', 0}
end

redis.call('HSET', record, 'last_token', ARGV[1])
if ARGV[2] == 'complete' then
  return complete(ARGV[3], ARGV[4])
elseif ARGV[2] == 'error' then
  return fail(ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7])
end
return release(ARGV[3], ARGV[4])
