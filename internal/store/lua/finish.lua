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
if task[TOKEN] == ARGV[1] and task[STATUS] ~= 'processing' then
  return {1, task[STATUS], math.max(0, number(NEXT_RETRY_AT, now) - now)}
end
if not FROM[task[STATUS]] or task[TOKEN] ~= ARGV[1] then
  return {0}
end

local function note(text)
  if text ~= '' then set_field(NOTE, 'note', text) end
end

local function complete(result, encoding)
  end_task('complete', result, encoding ~= '' and encoding)
  return {1, 'complete', 0}
end

local function fail(text, cause, permanent, delay, remark)
  local retries = number(RETRY_COUNT, 0)
  local retry = permanent ~= '1' and retries < (tonumber(max_retries) or DEFAULT_MAX_RETRIES)
  attempt_ended(cause, text, retry and delay or nil)
  set_field(LAST_ERROR, 'last_error', text)
  if not retry then
    end_task('failed')
    return {1, 'failed', 0}
  end
  move('retrying', now + delay)
  put(RETRY_COUNT, retries + 1)
  put(NEXT_RETRY_AT, now + delay)
  put(UPDATED_AT, now_text)
  note(remark)
  save()
  return {1, 'retrying', delay}
end

local function release(remark, by)
  wait_for_worker()
  put(STARTED_AT, '')
  drop_field(PROGRESS, 'progress')
  local attempt = number(ATTEMPT) - 1
  put(ATTEMPT, attempt > 0 and attempt or '')
  note(remark)
  event('handed_back', by)
  save()
  return {1, 'pending', 0}
end

last_token = ARGV[1]
if ARGV[2] == 'complete' then
  return complete(ARGV[3], ARGV[4])
elseif ARGV[2] == 'error' then
  return fail(ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7])
end
return release(ARGV[3], ARGV[4])
