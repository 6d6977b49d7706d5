-- drop_aside drops doorbells that were set aside, and whose tasks are over.
-- KEYS[1] the list   KEYS[2] asynq's prefix of the queue's keys, asynq:{queue}:   ARGV[1...] ids
-- Returns how many were dropped. Those that somebody has taken out of the list are his.

local dropped = 0
for _, id in ipairs(ARGV) do
  if redis.call('LREM', KEYS[1], -1, id) == 1 then
    redis.call('DEL', KEYS[2] .. 't:' .. id)
    dropped = dropped + 1
  end
end
return dropped
