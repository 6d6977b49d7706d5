-- page lists the tasks of a status that has a sorted set, latest first, from where a walk stands.
-- ARGV[1] status   ARGV[2] how many   ARGV[3] score and ARGV[4] member of the last entry seen, both empty at the start
-- Returns {member, score, member, score, ...}
-- It goes on below that entry whether or not the entry is still there: what leaves or joins the set meanwhile neither
-- hides nor repeats another.

local key, score, last = prefix .. ARGV[1], ARGV[3], ARGV[4]

-- precedes compares by bytes, as sorted sets do; Lua's < goes by the server's locale.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- first is the rank of the first entry below the last one seen. Many may share its score: a search by halves.
local function first()
  if score == '' then
    return 0
  end
  return halve(redis.call('ZCOUNT', key, '(' .. score, '+inf'), redis.call('ZCOUNT', key, score, '+inf'), function(rank)
    return precedes(redis.call('ZREVRANGE', key, rank, rank)[1], last)
  end)
end

local from = first()
return redis.call('ZREVRANGE', key, from, from + ARGV[2] - 1, 'WITHSCORES')
