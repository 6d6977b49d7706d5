-- wake wakes idle workers of a queue, one for each doorbell that was put into asynq's list.
-- KEYS[1] the idle workers   ARGV[1] how many to wake   ARGV[2] queue
-- Returns how many were woken. One that does not listen, because it is gone, gives its turn to the next.

local woken, unheard = 0, 0
while woken < tonumber(ARGV[1]) and unheard < 3 do
  local worker = redis.call('SPOP', KEYS[1])
  if not worker then
    break
  end
  local channel = 'refq:{' .. ARGV[2] .. '}:wake:' .. worker
  local heard = redis.pcall('SPUBLISH', channel, ARGV[2])
  if type(heard) == 'table' and string.find(heard.err, 'nknown') then -- before Redis 7
    heard = redis.pcall('PUBLISH', channel, ARGV[2])
  end
  if type(heard) == 'table' then -- a user of Redis who may not publish: nobody else hears, either
    break
  elseif heard > 0 then
    woken = woken + 1
  else
    unheard = unheard + 1
  end
end
return woken
