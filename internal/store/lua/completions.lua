-- completions lists the complete tasks, the last one that ended first, from where a walk stands.
-- ARGV[1] how many   ARGV[2] time and ARGV[3] hash of the last entry seen, both empty at the start
-- Returns {hash, time, hash, time, ...}, with entries of tasks that are no longer complete, or again since.
-- It goes on behind that entry, so that what joins meanwhile neither hides nor repeats another; if there is no such entry,
-- as it was cut off, or taken out since its task is no longer complete, or the hash is empty, at the first one with an earlier
-- time: what ended in the same millisecond behind it is passed over then.

local key, time, last = prefix .. 'completions', ARGV[2], ARGV[3]

local function first()
  if time == '' then
    return 0
  end
  -- The hindmost: should there be two of it, made around a clock's step back, a walk must get on all the same.
  local rank = last ~= '' and redis.call('LPOS', key, time .. last, 'RANK', -1)
  return rank and rank + 1 or rank_before(tonumber(time))
end

local from, found = first(), {}
for _, entry in ipairs(redis.call('LRANGE', key, from, from + ARGV[1] - 1)) do
  found[#found + 1] = string.sub(entry, -32)
  found[#found + 1] = string.sub(entry, 1, -33)
end
return found
