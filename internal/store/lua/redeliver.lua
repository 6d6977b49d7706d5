-- redeliver takes an attempt from a worker that was lost, or that says itself that it lost the attempt.
-- ARGV[1] token   ARGV[2] the worker that claimed it   ARGV[3] who asks
-- Returns {1, record, who was let in}, or {0} when the attempt is not to be taken.
-- The owner's beat is read here, so a worker that came back meanwhile keeps its attempt. Of a damaged record only the
-- claim goes.

local function forget_claim()
  local claims = prefix .. 'claims:' .. ARGV[2]
  if redis.call('HGET', claims, hash) == ARGV[1] then
    redis.call('HDEL', claims, hash) -- a claim on nothing would keep the worker in the index for ever
  end
end

-- keeps is whether a worker keeps the attempt: it lives, and has not lost it.
local function keeps(worker)
  return ARGV[3] ~= worker and lives(worker)
end

local damaged = damage()
if damaged then
  if keeps(ARGV[2]) then
    return {0}
  end
  forget_claim()
  return damaged
end
local worker = task[WORKER]
if not FROM[task[STATUS]] or task[TOKEN] ~= ARGV[1] then
  forget_claim()
  return {0}
end
if keeps(worker) then
  return {0}
end

local lost = number(LOST_COUNT, 0) + 1
local reason = 'worker ' .. worker .. ' was lost while it ran this attempt'
if ARGV[3] == worker then
  reason = 'worker ' .. worker .. ' claimed this attempt but never saw the answer'
end
attempt_ended('lost', reason, nil)
put(LOST_COUNT, lost)
set_field(LAST_ERROR, 'last_error', reason)
if lost > MAX_LOST then
  local turn = turn_in(stored[TURN])
  if turn then end_turn(turn) end
  end_without_result('failed', 'lost', ARGV[3])
  return {1, public(), turn and the_gates().written()}
end
wait_for_worker()
put(STARTED_AT, '')
drop_field(PROGRESS, 'progress')
new_delivery()
event('redelivered', ARGV[3])
save()
return {1, public()}
