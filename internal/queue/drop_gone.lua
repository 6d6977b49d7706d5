-- drop_gone drops doorbells that asynq does not know any more, after a flush of its keys, from the end of a list that it is about
-- to dequeue from: it would make a new one of each.
-- KEYS and ARGV as asynq's dequeue has them
-- Returns true when there may be more of them: the list is not to be dequeued from yet.

for _ = 1, 64 do
  local id = redis.call('LINDEX', KEYS[1], -1)
  if not id or redis.call('EXISTS', ARGV[2] .. id) == 1 then
    return false
  end
  redis.call('RPOP', KEYS[1])
end
return true
