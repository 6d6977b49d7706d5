-- gates_read tells of the gates of a queue how they stand. It changes nothing.
-- Returns {} if there is none, else {Redis's time, gates as told_of has them}. It looks at the calls of the queue that
-- were made first of those that wait, and at the keys that most calls wait for.

local names = redis.call('SMEMBERS', prefix .. 'gates')
if #names == 0 then
  return {}
end
table.sort(names)

for _, member in ipairs(redis.call('ZRANGE', prefix .. 'waiting', 0, CALLS_LOOKED - 1)) do
  local turn = turn_in(try('HGET', prefix .. 't:' .. member, 'turn'))
  if turn then
    look_at(turn.gate, turn.key, waiting_for(member) or 0)
  end
end

local found = {}
for i = 1, math.min(#names, MAX_GATES) do
  local gate = the_gates().gate_of(names[i])
  look_into(gate, #names)
  found[i] = told_of(gate)
end
return {now, found}
