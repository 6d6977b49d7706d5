-- wake wakes idle workers of a queue, one for each doorbell that was put into asynq's list.
-- KEYS[1] the idle workers   ARGV[1] how many to wake   ARGV[2] queue
-- Returns how many were woken. One that does not listen, because it is gone, gives its turn to the next. A user of Redis who may
-- not publish wakes nobody: idle workers look by themselves.

local woken, tries = 0, 2 * tonumber(ARGV[1]) + 8 -- in a Cluster PUBLISH counts only who listens at this node
while woken < tonumber(ARGV[1]) and tries > 0 do
  local worker = redis.call('SPOP', KEYS[1])
  if not worker then
    break
  end
  tries = tries - 1
  local heard = redis.pcall('PUBLISH', 'refq:worker:' .. worker .. ':wake', ARGV[2])
  if type(heard) == 'table' then -- refused
    break
  end
  woken = woken + heard
end
return woken
