-- retry runs a failed task again because a person says so.
-- ARGV[1] request id   ARGV[2] mode: 'retry' spends what is left of the budget, 'fresh' starts a new cycle
-- ARGV[3] created_at and ARGV[4] delivery that the person saw   ARGV[5] who   ARGV[6] a policy of 'fresh', or empty for the one
-- on record   ARGV[7] the turn under that policy, absent if it has no gate
-- Returns {outcome, record}: 'accepted', 'not_failed', 'exhausted'; or false when there is no record.
-- A resend finds its own request id and is accepted.

local damaged = damage()
if damaged then
  return damaged
end
local status = task[STATUS]
if not status then
  return false
end
if task[REQ] == ARGV[1] then
  return {'accepted', public()}
end
if not FROM[status] or task[CREATED_AT] ~= ARGV[3] or number(DELIVERY, 1) ~= tonumber(ARGV[4]) then
  return {'not_failed', public()}
end
local retries = number(RETRY_COUNT, 0)
if ARGV[2] == 'retry' and retries >= (tonumber(max_retries) or DEFAULT_MAX_RETRIES) then
  return {'exhausted', public()}
end

local text = stored[TURN]
if ARGV[6] ~= '' then
  text = ARGV[7]
end
text = text and made_now(text)
local turn = turn_in(text)
local may = not turn or may_start(turn)
revive(function()
  if may then wait_for_worker() else wait_for_turn(turn) end
end)
if turn then
  set_field(TURN, 'turn', text)
  if may then begins(turn) end
  the_gates().written()
else
  drop_field(TURN, 'turn')
end
if ARGV[2] == 'fresh' then
  fresh_budget()
  if ARGV[6] ~= '' then set_field(POLICY, 'policy', ARGV[6]) end
else
  put(RETRY_COUNT, retries + 1) -- R9: what a person retries counts, or it could be had for ever
end
put(REQ, ARGV[1])
event(ARGV[2], ARGV[5])
save()
return {'accepted', public()}
