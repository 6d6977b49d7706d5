-- listed counts the completions from a time on.
-- ARGV[1] the time

return rank_before(tonumber(ARGV[1]))
