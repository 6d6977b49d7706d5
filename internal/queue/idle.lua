-- idle notes that a worker has found a queue empty and waits to be woken.
-- KEYS[1] the idle workers   KEYS[2] asynq's list of doorbells   KEYS[3] asynq's mark of a paused queue   ARGV[1] worker
-- Returns 1, or 0 when a doorbell has come meanwhile: its wake-up has found nobody idle.

if redis.call('LLEN', KEYS[2]) > 0 and redis.call('EXISTS', KEYS[3]) == 0 then
  return 0
end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
