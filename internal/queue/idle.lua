-- idle notes that a worker has found a queue empty and waits to be woken.
-- KEYS[1] the idle workers   KEYS[2] asynq's list of doorbells   KEYS[3] asynq's mark of a paused queue
-- KEYS[4] the names under which doorbells are set aside   ARGV[1] worker
-- Returns 'idle', 'aside' when it is idle and doorbells are set aside, or 'busy' when a doorbell has come meanwhile: its wake-up
-- has found nobody idle.

local paused = redis.call('EXISTS', KEYS[3]) == 1
if not paused and redis.call('LLEN', KEYS[2]) > 0 then
  return 'busy'
end
redis.call('SADD', KEYS[1], ARGV[1])
return not paused and redis.call('EXISTS', KEYS[4]) == 1 and 'aside' or 'idle'
