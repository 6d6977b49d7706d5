-- page lists the tasks of a status that has a sorted set, latest first, from where a walk stands.
-- ARGV[1] status   ARGV[2] how many   ARGV[3] score and ARGV[4] member of the last entry seen, both empty at the start
-- Returns {member, score, member, score, ...}
-- It goes on below that entry whether or not the entry is still there: what leaves or joins the set meanwhile neither
-- hides nor repeats another.

local key, score, last = prefix .. ARGV[1], ARGV[3], ARGV[4]

local from = rank_below(key, score, last)
return redis.call('ZREVRANGE', key, from, from + ARGV[2] - 1, 'WITHSCORES')
