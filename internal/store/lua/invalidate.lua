-- invalidate sets stamps of a queue: what attempts made that began until now counts no longer for the calls that look at
-- these stamps.
-- ARGV names of stamps
-- A resend sets them again, a little later. A stamp never goes back, whatever Redis's clock does. Those that are too many
-- are dropped at once: a queue that no worker serves is swept by nobody.

redis.call('HSET', prefix .. 'sweep', 'stamped', '1')
for _, name in ipairs(ARGV) do
  redis.call('ZADD', prefix .. 'stamps', 'GT', now, name)
  drop('#' .. name)
end
drop_stamps(0)
return 1
