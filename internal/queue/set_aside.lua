-- set_aside puts a doorbell that was just dequeued into a list of ours. It does what asynq's Requeue does, with that list in place
-- of asynq's own, and notes since when the doorbell waits, as asynq's enqueue does. asynq never looks there; it takes the doorbell
-- for one that waits.
-- KEYS and ARGV as asynq's dequeue has them; then the doorbell's id and the list
-- Returns how many stood in the list before. False: nothing was done, as the doorbell of the delivery before waits, too. This one
-- is to be put off, or it would be set aside beside that: an old refq's sweep, which does not see that one, rings at each tick.

local ref, delivery = string.match(id, '^(.*:%x+)%.(%d+)$')
if delivery then
  local before = tonumber(delivery) > 2 and string.format('%s.%.0f', ref, delivery - 1) or ref
  if redis.call('HGET', ARGV[2] .. before, 'state') == 'pending' then
    if redis.call('LPOS', list, before) or redis.call('LPOS', KEYS[1], before) then
      return false
    end
    redis.call('DEL', ARGV[2] .. before) -- it is in no list: what is left of it will never ring
  end
end
local length = redis.call('LPUSH', list, id)
redis.call('LREM', KEYS[3], 1, id)
redis.call('ZREM', KEYS[4], id)
local clock = redis.call('TIME')
redis.call('HSET', ARGV[2] .. id, 'state', 'pending', 'pending_since', string.format('%s%06d000', clock[1], clock[2]))
return length - 1
