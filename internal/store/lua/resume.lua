-- resume ends the pause of a queue or a function.
-- ARGV[1] 'queue', or 'f:' and the function as it was paused   ARGV[2] the key of the flag that says that the queue is paused,
-- empty for a function
-- Returns 1, or 0 when it was not paused.

local was = redis.call('HDEL', prefix .. 'paused', ARGV[1])
if ARGV[2] ~= '' then
  was = redis.call('DEL', ARGV[2])
end
tell_of_pauses()
return was
