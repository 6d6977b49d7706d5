-- retry runs a failed task again because a person says so.
-- ARGV[1] request id   ARGV[2] mode: 'retry' spends what is left of the budget, 'fresh' starts a new cycle
-- ARGV[3] created_at and ARGV[4] delivery that the person saw   ARGV[5] who
-- Returns {outcome, record}: 'accepted', 'not_failed', 'exhausted'; or false when there is no record.
-- A resend finds its own request id and is accepted.

local damaged = damage()
if damaged then
  return damaged
end
local status, req, created, delivery = get('status', 'req', 'created_at', 'delivery')
if not status then
  return false
end
if req == ARGV[1] then
  return {'accepted', read()}
end
if not FROM[status] or created ~= ARGV[3] or (delivery or '1') ~= ARGV[4] then
  return {'not_failed', read()}
end
local retries = number('retry_count', 0)
if ARGV[2] == 'retry' and retries >= number('max_retries', DEFAULT.max_retries) then
  return {'exhausted', read()}
end

revive(status)
if ARGV[2] == 'fresh' then
  fresh_budget()
else
  redis.call('HSET', record, 'retry_count', retries + 1) -- R9: what a person retries counts, or it could be had for ever
end
redis.call('HSET', record, 'req', ARGV[1])
event(ARGV[2], ARGV[5])
return {'accepted', read()}
