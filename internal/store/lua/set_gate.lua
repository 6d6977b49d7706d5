-- set_gate gives a gate numbers in place of what its workers declare, or takes them away.
-- ARGV[1] gate   ARGV[2] the numbers, of which a word may be empty: as declared; empty: all are   ARGV[3] for how many
-- ms, empty: for ever
-- ARGV[4] who sets them
-- Returns {1 if there is such a gate, else 0; who was let in}
-- What runs goes on, also where fewer may run now.

local name, at = ARGV[1], prefix .. 'gate:' .. ARGV[1]
if redis.call('SISMEMBER', prefix .. 'gates', name) == 0 then
  return {0, {}}
end
redis.call('HDEL', at, 'set', 'set_until', 'set_by', 'set_at')
if ARGV[2] ~= '' then
  redis.call('HSET', at, 'set', ARGV[2], 'set_by', ARGV[4], 'set_at', now_text)
  if ARGV[3] ~= '' then
    redis.call('HSET', at, 'set_until', whole_text(now + ARGV[3]))
  end
end
the_gates().try_limits(the_gates().gate_of(name))
return {1, the_gates().written()}
