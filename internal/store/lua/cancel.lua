-- cancel ends a task in flight because a person says so.
-- ARGV[1] created_at and ARGV[2] cycle that the person saw   ARGV[3] who
-- Returns {1, record, who was let in} when the task is cancelled, now or by an earlier copy of this command, or complete because a
-- refresh was cancelled; {0, record} when it had ended or is another life; false when there is no record.
-- It writes no request id: a resend of the submit that it cancelled must still find its own.

local damaged = damage()
if damaged then
  return damaged
end
local status, token, worker = task[STATUS], task[TOKEN], task[WORKER]
if not status then
  return false
end
local same_life = task[CREATED_AT] == ARGV[1] and number(CYCLE, 1) == tonumber(ARGV[2])
if same_life and (status == 'cancelled' or result_from[REFRESH] == 'cancelled') then
  return {1, public()}
end
if not same_life or not FROM[status] then
  return {0, public()}
end

if status == 'processing' then
  attempt_ended('cancelled', 'cancelled by ' .. ARGV[3], nil)
end
local turn = turn_in(stored[TURN])
if turn then end_turn(turn) end
event('cancel', ARGV[3])
end_without_result('cancelled', 'cancelled', ARGV[3])
if worker ~= '' then
  redis.pcall('PUBLISH', 'refq:worker:' .. worker, token) -- if that is not permitted, the worker's next beat tells it
end
return {1, public(), turn and the_gates().written()}
